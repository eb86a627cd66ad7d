#include "em/information_layout.hpp"

namespace moefast {

void unpack_products(const ThetaLayout& layout, const std::vector<double>& products, bool score_products,
                     Information& out) {
  const index_t P = layout.n_parameters();
  out.hessian.assign(size(P * P), 0);
  if (score_products) out.score_products.assign(size(P * P), 0);
  const double* from = products.data();
  for (const auto& [left, right] : kBlocks) {
    const index_t n = layout.n_pairs(left, right), rows = layout.width(left), columns = layout.width(right);
    const bool symmetric = layout.symmetric(left, right);
    for (index_t b = 0; b < columns; ++b) {
      for (index_t a = 0; a < layout.n_rows(left, right, b); ++a, from += score_products ? 2 * n : n) {
        index_t pair = 0;
        for (index_t i = 0; i < layout.count[left]; ++i) {
          for (index_t j = ThetaLayout::first_partner(left, right, i); j < layout.count[right]; ++j, ++pair) {
            const auto set = [&](index_t x, index_t y) {
              const index_t row = layout.parameter(left) + i * rows + x,
                            column = layout.parameter(right) + j * columns + y;
              for (const index_t at : {row * P + column, column * P + row}) {
                out.hessian[size(at)] = from[pair];
                if (score_products) out.score_products[size(at)] = from[n + pair];
              }
            };
            set(a, b);
            if (symmetric) set(b, a);
          }
        }
      }
    }
  }
}

}  // namespace moefast
