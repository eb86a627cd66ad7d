// Columns that experts or gates see, and a constant, as rows of a panel along which samples lie.
#pragma once

#include <algorithm>

#include "kernels/kernels.hpp"
#include "moefast/em.hpp"

namespace moefast {

// The columns of X in standard units where there is a change of units, transposed.
template <class T>
void load_columns(const EmData& data, const T* X, const std::optional<std::vector<index_t>>& columns,
                  index_t n, index_t stride, double* panel) {
  const auto transpose = [&](const auto& value) {
    if (!columns) {
      for (index_t s = 0; s < n; ++s) {
        const T* row = X + s * data.d;
        for (index_t j = 0; j < data.d; ++j) panel[j * stride + s] = value(row[j], j);
      }
      return;
    }
    double* to = panel;
    for (const index_t j : *columns) {
      for (index_t s = 0; s < n; ++s) to[s] = value(X[s * data.d + j], j);
      to += stride;
    }
  };
  if (data.centre) {
    const double *centre = data.centre, *inverse = data.inverse_scale;
    transpose([=](T x, index_t j) { return (static_cast<double>(x) - centre[j]) * inverse[j]; });
  } else {
    transpose([](T x, index_t) { return static_cast<double>(x); });
  }
}

// The same of columns by themselves, of rows start .. start + n.
inline void load_separate_columns(const EmData& data, const std::optional<std::vector<index_t>>& columns,
                                  index_t start, index_t n, index_t stride, double* panel) {
  const index_t width = columns ? static_cast<index_t>(columns->size()) : data.d;
  for (index_t a = 0; a < width; ++a, panel += stride) {
    const index_t j = columns ? (*columns)[static_cast<std::size_t>(a)] : a;
    const double centre = data.centre ? data.centre[j] : 0, inverse = data.centre ? data.inverse_scale[j] : 1;
    const Column& column = data.by_column[static_cast<std::size_t>(j)];
    const auto load = [=](const auto* from) {
      for (index_t s = 0; s < n; ++s) panel[s] = (static_cast<double>(from[start + s]) - centre) * inverse;
    };
    column.values ? load(column.values) : load(column.values32);
  }
}

// `panel` = (x, 1) of the rows start .. start + n, padded with x = 0; its rows are `stride` apart.
inline void load_design(const EmData& data, const std::optional<std::vector<index_t>>& columns, index_t start,
                        index_t n, index_t padded, index_t stride, double* panel) {
  if (!data.by_column.empty()) {
    load_separate_columns(data, columns, start, n, stride, panel);
  } else if (!data.X32 && data.centre && !columns) {
    kernels::of<double>().centre_rows_transposed(n, data.d, data.X + start * data.d, data.d, data.centre,
                                                 data.inverse_scale, panel, stride);
  } else if (data.X32) {
    load_columns(data, data.X32 + start * data.d, columns, n, stride, panel);
  } else {
    load_columns(data, data.X + start * data.d, columns, n, stride, panel);
  }
  const index_t width = columns ? static_cast<index_t>(columns->size()) : data.d;
  for (index_t j = 0; j < width; ++j, panel += stride) std::fill(panel + n, panel + padded, 0.0);
  std::fill_n(panel, padded, 1.0);
}

}  // namespace moefast
