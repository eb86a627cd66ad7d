// Plain types shared by every part of the core.
#pragma once

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>

#include "moefast/index.hpp"

namespace moefast {

// Called now and then on the calling thread during long work; it throws to stop the work, and the
// exception reaches the caller. May be empty.
using Poll = std::function<void()>;

// How an iteration ended. Bad input throws; not converging is a status.
enum class Status { converged, iteration_limit, degenerate, beaten };

inline const char* to_string(Status status) {
  switch (status) {
    case Status::converged:
      return "converged";
    case Status::iteration_limit:
      return "iteration_limit";
    case Status::beaten:
      return "beaten";
    default:
      return "degenerate";
  }
}

// An error that one input column is to blame for: 0 .. n_features - 1 for x, n_features for the
// response y, n_features + 1 for the weights.
class ColumnError : public std::runtime_error {
 public:
  enum class Kind { not_finite, overflow, not_positive };
  ColumnError(Kind kind, index_t column, index_t row, const std::string& message)
      : std::runtime_error(message), kind(kind), column(column), row(row) {}
  Kind kind;
  index_t column;
  index_t row;  // of the array given, -1 where no single row is to blame
};

}  // namespace moefast
