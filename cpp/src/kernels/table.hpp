// The table of one instruction set: the last include of build_<set>.cpp.
#pragma once

#include "kernels/expectation.hpp"
#include "kernels/fma_peak.hpp"
#include "kernels/pair_products.hpp"
#include "kernels/rank_update.hpp"

#define MOEFAST_STRING(x) #x
#define MOEFAST_NAME(x) MOEFAST_STRING(x)

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {

extern const KernelTable table;
const KernelTable table = {
    MOEFAST_NAME(MOEFAST_KERNEL_NAMESPACE),
    kLanes<double> * MOEFAST_TILE_VECTORS,
    kLanes<float> * MOEFAST_TILE_VECTORS,
    rank_update<double>,
    rank_update<float>,
    pair_products,
    expectation,
    exponentials,
    logarithms,
    fma_peak<double>,
    fma_peak<float>,
};

}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
