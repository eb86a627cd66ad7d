// One pass over the rows, block by block. A block stays in the cache for two sweeps, one for its means and
// one for the squares about them; blocks are merged as by Chan, Golub, LeVeque (The American Statistician
// 1983),
//
//     mean <- mean + delta W_b / W,    M <- M + M_b + delta^2 W_a W_b / W,    delta = mean_b - mean,
//
// so that nothing cancels, whatever the order of the rows. Values are taken as differences from the first
// row, which are exact where a column varies little. Squares of values beyond 1e100 or below 1e-100 could
// leave the range: columns that have such values are swept again, in units of a power of two near their
// largest value.
#include "moefast/spread.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "em/counts.hpp"

namespace moefast {
namespace {

constexpr index_t kBlockNumbers = 4096;  // half of a first-level cache
constexpr index_t kLeastRows = 16;
constexpr double kHuge = 1e100, kTiny = 1e-100;
// Of the largest value: a width of no more than this is rounding.
constexpr double kNoWidth = 8 * std::numeric_limits<double>::epsilon();

// The sums of some of the columns.
template <class T>
class Sweep {
 public:
  // `exponents` are those of the units of the columns, whose values are divided by 2^exponent; none: as they
  // are.
  Sweep(const T* X, index_t d, std::vector<index_t> columns, std::vector<int> exponents)
      : X_(X),
        d_(d),
        columns_(std::move(columns)),
        exponents_(std::move(exponents)),
        block_rows_(std::max(kLeastRows, kBlockNumbers / std::max<index_t>(1, n_columns()))),
        values_(size(block_rows_ * n_columns())),
        share_(size(block_rows_)) {
    for (std::vector<double>* sums : {&mean_, &squares_, &low_, &high_, &block_mean_, &block_squares_})
      sums->assign(columns_.size(), 0);
    load(0, 1);
    anchor_.assign(values_.begin(), values_.begin() + n_columns());
  }

  void run(const double* w, double total, index_t n, const Poll& poll) {
    for (index_t first = 0; first < n; first += block_rows_) {
      if (poll) poll();
      const index_t rows = std::min(block_rows_, n - first);
      for (index_t s = 0; s < rows; ++s) share_[size(s)] = w[first + s] / total;
      load(first, rows);
      add(rows);
    }
  }

  index_t n_columns() const { return static_cast<index_t>(columns_.size()); }

  double largest(index_t j) const {
    const double first = anchor_[size(j)];
    return std::max(std::abs(first + low_[size(j)]), std::abs(first + high_[size(j)]));
  }

  void write(index_t j, Spread& out) const {
    const std::size_t at = size(columns_[size(j)]), from = size(j);
    const int exponent = exponents_.empty() ? 0 : exponents_[from];
    const double mean = mean_[from], width = std::max(high_[from] - mean, mean - low_[from]);
    const bool varies = width > kNoWidth * largest(j);
    out.mean[at] = std::ldexp(anchor_[from] + (varies ? mean : 0.0), exponent);
    out.deviation[at] = varies ? std::ldexp(std::sqrt(squares_[from] / weight_), exponent) : 0.0;
  }

 private:
  void load(index_t first, index_t rows) {
    const index_t m = n_columns();
    double* to = values_.data();
    for (index_t s = 0; s < rows; ++s, to += m) {
      const T* row = X_ + (first + s) * d_;
      if (exponents_.empty()) {  // all columns
        for (index_t j = 0; j < m; ++j) to[j] = static_cast<double>(row[j]);
      } else {
        for (index_t j = 0; j < m; ++j)
          to[j] = std::ldexp(static_cast<double>(row[columns_[size(j)]]), -exponents_[size(j)]);
      }
    }
  }

  void add(index_t rows) {
    const index_t m = n_columns();
    const double* first = anchor_.data();
    double *low = low_.data(), *high = high_.data(), *mean = block_mean_.data(),
           *squares = block_squares_.data();
    std::fill_n(mean, m, 0.0);
    std::fill_n(squares, m, 0.0);
    double weight = 0;
    double* x = values_.data();
    for (index_t s = 0; s < rows; ++s, x += m) {
      const double p = share_[size(s)];
      weight += p;
      for (index_t j = 0; j < m; ++j) {
        const double value = x[j] - first[j];
        x[j] = value;
        low[j] = value < low[j] ? value : low[j];
        high[j] = value > high[j] ? value : high[j];
        mean[j] += p * value;
      }
    }
    if (!(weight > 0)) return;  // weights so small beside others that their share is 0
    for (index_t j = 0; j < m; ++j) mean[j] /= weight;
    x = values_.data();
    for (index_t s = 0; s < rows; ++s, x += m) {
      const double p = share_[size(s)];
      for (index_t j = 0; j < m; ++j) {
        const double value = x[j] - mean[j];
        squares[j] += p * value * value;
      }
    }
    const double before = weight_;
    weight_ += weight;
    for (index_t j = 0; j < m; ++j) {
      const double delta = mean[j] - mean_[size(j)];
      mean_[size(j)] += delta * (weight / weight_);
      squares_[size(j)] += squares[j] + delta * delta * (before / weight_) * weight;
    }
  }

  const T* X_;
  index_t d_;
  std::vector<index_t> columns_;
  std::vector<int> exponents_;
  index_t block_rows_;
  std::vector<double> values_, share_;  // of a block
  std::vector<double> anchor_;          // the first row
  double weight_ = 0;
  // Of the values less the first row, in units of 2^exponent; low and high are not above and not below 0.
  std::vector<double> mean_, squares_, low_, high_;
  std::vector<double> block_mean_, block_squares_;
};

}  // namespace

template <class T>
Spread spread_of(const T* X, const double* w, index_t n, index_t d, const Poll& poll) {
  double total = 0;
  for (index_t s = 0; s < n; ++s) total += w[s];
  Spread out{std::vector<double>(size(d)), std::vector<double>(size(d))};
  std::vector<index_t> columns(size(d));
  std::iota(columns.begin(), columns.end(), index_t{0});
  Sweep<T> sweep(X, d, std::move(columns), {});
  sweep.run(w, total, n, poll);
  std::vector<index_t> extreme;
  for (index_t j = 0; j < d; ++j) {
    const double largest = sweep.largest(j);
    if (largest == 0 || (largest >= kTiny && largest <= kHuge)) {
      sweep.write(j, out);
    } else {
      extreme.push_back(j);
    }
  }
  if (extreme.empty()) return out;
  std::vector<int> exponents;
  for (const index_t j : extreme) {
    double largest = 0;  // again, since a difference may have overflowed
    for (index_t s = 0; s < n; ++s) largest = std::max(largest, std::abs(static_cast<double>(X[s * d + j])));
    exponents.push_back(std::ilogb(largest) + 1);
  }
  Sweep<T> again(X, d, std::move(extreme), std::move(exponents));
  again.run(w, total, n, poll);
  for (index_t j = 0; j < again.n_columns(); ++j) again.write(j, out);
  return out;
}

template Spread spread_of<double>(const double*, const double*, index_t, index_t, const Poll&);
template Spread spread_of<float>(const float*, const double*, index_t, index_t, const Poll&);

}  // namespace moefast
