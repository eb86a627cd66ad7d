// Packed symmetric tensors: their forms, contractions and projection against dense sums; the power method.
#include "check.hpp"
#include "moefast/contraction.hpp"
#include "moefast/power_iteration.hpp"
#include "moefast/symmetric_tensor.hpp"

namespace moefast::tests {
namespace {

SymmetricTensor random_tensor(index_t dim, int order, Random& random) {
  SymmetricTensor tensor(dim, order);
  tensor.entries = random.integers(static_cast<index_t>(tensor.entries.size()), 9);
  return tensor;
}

// The dense tensor with the last `times` indices contracted, one after another, with the rows given.
std::vector<double> contracted(std::vector<double> dense, index_t dim,
                               const std::vector<const double*>& rows) {
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    std::vector<double> next(dense.size() / size(dim));
    for (std::size_t i = 0; i < next.size(); ++i) {
      for (index_t j = 0; j < dim; ++j) next[i] += dense[i * size(dim) + size(j)] * (*row)[j];
    }
    dense = std::move(next);
  }
  return dense;
}

void forms(index_t dim, int order) {
  Random random(31);
  const std::string what = text({{"dim", dim}, {"order", order}});
  const SymmetricTensor tensor = random_tensor(dim, order, random);
  const std::vector<double> dense = tensor.to_dense(), canonical = tensor.to_canonical();
  CHECK_AT(SymmetricTensor::from_dense(dense.data(), dim, order).entries == tensor.entries, what);
  CHECK_AT(SymmetricTensor::from_canonical(canonical.data(), dim, order).entries == tensor.entries, what);
  if (dim > 1) {
    std::vector<double> crooked = dense;
    crooked[1] += 1;
    CHECK_AT(throws<std::invalid_argument>([&] { SymmetricTensor::from_dense(crooked.data(), dim, order); }),
             what);
  }
}

// Small integers: sums are exact, but for the division by the order.
void contractions(index_t dim, int order, index_t n, double unit) {
  Random random(32);
  const std::string what = text({{"dim", dim}, {"order", order}, {"n", n}});
  SymmetricTensor tensor = random_tensor(dim, order, random);
  for (double& x : tensor.entries) x *= unit;
  const std::vector<double> dense = tensor.to_dense(), U = random.integers(n * dim),
                            V = random.integers(n * dim);
  const TensorContraction contraction(tensor);
  std::vector<double> out(size(n * dim)), values(size(n));
  contraction.apply(U.data(), n, out.data());
  contraction.value(U.data(), n, values.data());
  const double tolerance = 1e-14 * std::pow(6.0 * static_cast<double>(dim), order) * unit;
  for (index_t r = 0; r < n; ++r) {
    const double* u = &U[size(r * dim)];
    const auto image = contracted(dense, dim, std::vector<const double*>(size(order - 1), u));
    for (index_t i = 0; i < dim; ++i)
      CHECK_AT(close(out[size(r * dim + i)], image[size(i)], 1, tolerance), what);
    const auto value = contracted(image, dim, {u});
    CHECK_AT(close(values[size(r)], value[0], 1, 4 * tolerance), what);
  }
  if (order < 4) {
    CHECK(throws<std::invalid_argument>(
        [&] { contraction.pair(U.data(), V.data(), n, values.data(), nullptr, nullptr); }));
    return;
  }
  std::vector<double> by_u(out.size()), by_v(out.size());
  contraction.pair(U.data(), V.data(), n, values.data(), by_u.data(), by_v.data());
  for (index_t r = 0; r < n; ++r) {
    const double *u = &U[size(r * dim)], *v = &V[size(r * dim)];
    const auto g = contracted(dense, dim, {u, v, v}), h = contracted(dense, dim, {u, u, v});
    for (index_t i = 0; i < dim; ++i) {
      CHECK_AT(close(by_u[size(r * dim + i)], 2 * g[size(i)], 1, 4 * tolerance), what);
      CHECK_AT(close(by_v[size(r * dim + i)], 2 * h[size(i)], 1, 4 * tolerance), what);
    }
    CHECK_AT(close(values[size(r)], contracted(g, dim, {u})[0], 1, 8 * tolerance), what);
  }
}

void projection(index_t dim, int order, index_t m) {
  Random random(33);
  const SymmetricTensor tensor = random_tensor(dim, order, random);
  const std::vector<double> dense = tensor.to_dense(), W = random.integers(dim * m);
  const std::vector<double> found = TensorContraction(tensor).project(W.data(), m);
  std::vector<std::vector<double>> columns(size(m), std::vector<double>(size(dim)));
  for (index_t i = 0; i < dim; ++i) {
    for (index_t j = 0; j < m; ++j) columns[size(j)][size(i)] = W[size(i * m + j)];
  }
  const double tolerance = 1e-14 * std::pow(6.0 * static_cast<double>(dim), order);
  for (std::size_t at = 0; at < found.size(); ++at) {
    std::vector<const double*> rows;
    for (std::size_t k = 0, rest = at; k < size(order); ++k, rest /= size(m)) {
      rows.push_back(columns[rest % size(m)].data());
    }
    CHECK_AT(close(found[at], contracted(dense, dim, rows)[0], 1, tolerance),
             text({{"dim", dim}, {"order", order}, {"m", m}}));
  }
}

// sum_i value_i e_i (x) ... (x) e_i: the power method finds all of it.
void power_method(int order) {
  const index_t dim = 6, rank = 4, n_starts = 12;
  SymmetricTensor tensor(dim, order);
  for (index_t i = 0; i < rank; ++i) {
    const index_t at = order == 3 ? tensor.layout.at(i, i, i) : tensor.layout.at(i, i, i, i);
    tensor.entries[size(at)] = static_cast<double>(i + 1);
  }
  const TensorContraction contraction(tensor);
  Random random(34);
  const auto starts = random.normals(n_starts * dim);
  PowerSettings settings;
  settings.rank = rank;
  const auto pairs =
      power_iteration(PackedTensorOperator(contraction), starts.data(), n_starts, settings, {});
  CHECK(pairs.size() == size(rank));
  double sum = 0;
  for (const EigenPair& pair : pairs) {
    CHECK(pair.status == Status::converged);
    CHECK(pair.residual < 1e-10);
    sum += pair.value;
  }
  CHECK(close(sum, 10, 1e-12));
  settings.rank = dim + 1;
  CHECK(throws<std::invalid_argument>(
      [&] { power_iteration(PackedTensorOperator(contraction), starts.data(), n_starts, settings, {}); }));
}

}  // namespace

void test_tensors() {
  for (int order = 2; order <= 4; ++order) {
    for (const index_t dim : {1, 2, 3, 4, 5, 8, 9}) {
      forms(dim, order);
      for (const index_t n : {1, 2, 3, 4, 5, 8, 15, 17, 33}) contractions(dim, order, n, 1);
      contractions(dim, order, 5, 0x1p900);  // beyond the range on the way, were it not scaled
      for (const index_t m : {1, 2, 3}) projection(dim, order, m);
    }
  }
  contractions(20, 3, 7, 1);
  contractions(18, 4, 3, 1);
  power_method(3);
  power_method(4);
}

}  // namespace moefast::tests
