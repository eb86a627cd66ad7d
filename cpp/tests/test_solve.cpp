// Symmetric systems: the ways of large ones against those of small ones, and how often they poll.
#include <Eigen/Core>

#include "check.hpp"
#include "em/polled_factors.hpp"
#include "em/solve.hpp"

namespace moefast::tests {
namespace {

struct System {
  Eigen::MatrixXd A;
  Eigen::VectorXd b;
};

// Of the given rank, with units of its own for every unknown.
System system(index_t n, index_t rank) {
  Random random(1);
  Eigen::MatrixXd rows(n, rank);
  Eigen::VectorXd b(rank);
  for (index_t j = 0; j < rank; ++j) {
    b[j] = random.uniform();
    for (index_t i = 0; i < n; ++i)
      rows(i, j) = random.uniform() * std::pow(10.0, static_cast<double>(i % 5));
  }
  return {rows * rows.transpose(), rows * b};
}

// S = V diag(values) V' with orthonormal V, and values that increase.
void test_symmetric_eigen() {
  for (const index_t n : {1, 2, 3, 20, 60}) {
    for (const index_t rank : {n, (n + 1) / 2, index_t{0}}) {
      const Eigen::MatrixXd S = system(n, rank).A;
      const SymmetricEigen eigen = symmetric_eigen(S);
      const Eigen::MatrixXd& V = eigen.vectors;
      const Eigen::MatrixXd back = V * eigen.values.asDiagonal() * V.transpose();
      const std::string what = std::to_string(n) + ", rank " + std::to_string(rank);
      CHECK_AT((back - S).cwiseAbs().maxCoeff() <= 1e-13 * static_cast<double>(n) * S.cwiseAbs().maxCoeff(),
               what);
      CHECK_AT((V.transpose() * V - Eigen::MatrixXd::Identity(n, n)).cwiseAbs().maxCoeff() <= 1e-13, what);
      for (index_t j = 1; j < n; ++j) CHECK_AT(eigen.values[j - 1] <= eigen.values[j], what);
    }
  }
}

}  // namespace

void test_solve() {
  test_symmetric_eigen();
  for (const index_t n : {1, 2, 7, 64, 65, 150, 700}) {
    for (const index_t rank : {n, n - 1, n / 2, index_t{0}}) {
      if (rank < 0 || (n == 700 && rank == 0)) continue;
      const System given = system(n, rank);
      const Eigen::MatrixXd& A = given.A;
      const Eigen::VectorXd& b = given.b;
      const std::string what = std::to_string(n) + ", rank " + std::to_string(rank);
      const Eigen::VectorXd expected = solve_semidefinite(A, b, {}, {n, n});
      index_t polls = 0;
      const Eigen::VectorXd found = solve_semidefinite(A, b, [&] { ++polls; }, {0, 0});
      // Images, since a matrix of full rank may be ill-conditioned; units differ by 1e4.
      const double scale = 1e-300 + (A * expected).cwiseAbs().maxCoeff();
      CHECK_AT((A * (found - expected)).cwiseAbs().maxCoeff() <= 1e-9 * scale, what);
      if (rank < n) {
        CHECK_AT((found - expected).cwiseAbs().maxCoeff() <= 1e-7 * (1e-300 + expected.cwiseAbs().maxCoeff()),
                 what);
        CHECK_AT(polls >= 2 * n, what);  // at every column and every QR step
      }
      // An interrupt at any time gets out.
      struct Stop {};
      for (const index_t at : {index_t{1}, polls / 2, polls}) {
        index_t left = std::max<index_t>(1, at);
        CHECK_AT(throws<Stop>([&] {
                   solve_semidefinite(A, b,
                                      [&] {
                                        if (--left == 0) throw Stop{};
                                      },
                                      {0, 0});
                 }),
                 what);
      }
    }
  }
  CHECK(solve_semidefinite(Eigen::MatrixXd(0, 0), Eigen::VectorXd(0), {}).size() == 0);
}

}  // namespace moefast::tests
