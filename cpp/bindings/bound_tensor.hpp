// The SymmetricTensor of the extension: the entries, and what contracts them, made when first asked for.
#pragma once

#include <memory>
#include <mutex>

#include "moefast/contraction.hpp"
#include "moefast/symmetric_tensor.hpp"

namespace moefast::bindings {

class BoundTensor {
 public:
  explicit BoundTensor(SymmetricTensor tensor) : tensor_(std::move(tensor)) {}

  const SymmetricTensor& tensor() const { return tensor_; }
  // Takes a copy of the entries the first time; from any thread.
  const TensorContraction& contraction() const {
    std::call_once(once_, [this] { contraction_ = std::make_unique<TensorContraction>(tensor_); });
    return *contraction_;
  }

 private:
  SymmetricTensor tensor_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<TensorContraction> contraction_;
};

}  // namespace moefast::bindings
