// The table of one instruction set: the last include of build_<set>.cpp.
#pragma once

#include "kernels/canonical_families.hpp"
#include "kernels/dot_update.hpp"
#include "kernels/expectation.hpp"
#include "kernels/fma_peak.hpp"
#include "kernels/pair_panel.hpp"
#include "kernels/pair_update.hpp"
#include "kernels/rank_update.hpp"
#include "kernels/rectangle.hpp"
#include "kernels/row_scan.hpp"

#define MOEFAST_STRING(x) #x
#define MOEFAST_NAME(x) MOEFAST_STRING(x)

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {

#define MOEFAST_KERNELS(Real)           \
  {kLanes<Real> * MOEFAST_TILE_VECTORS, \
   kLanes<Real>,                        \
   dot_update<Real>,                    \
   pair_panel<Real>,                    \
   pair_update<Real>,                   \
   scale_rows<Real>,                    \
   scan_rows<Real>,                     \
   centre_rows<Real>,                   \
   centre_rows_transposed<Real>,        \
   fma_peak<Real>}

extern const KernelTable table;
const KernelTable table = {MOEFAST_NAME(MOEFAST_KERNEL_NAMESPACE),
                           tuning::MOEFAST_KERNEL_NAMESPACE,
                           MOEFAST_KERNELS(double),
                           MOEFAST_KERNELS(float),
                           kLanes<double>,
                           kLanes<double> * kRectangleVectors,
                           rank_update,
                           rectangle,
                           expectation,
                           exponentials,
                           logarithms,
                           poisson_terms,
                           binomial_terms};

}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
