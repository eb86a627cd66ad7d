// The E-step of rows that nobody holds at once: the sums come from the caller.
#pragma once

#include <stdexcept>
#include <string>

#include "em/e_step.hpp"

namespace moefast {

class StreamEStep final : public AnyEStep {
 public:
  // Both have to outlive it.
  StreamEStep(const RowStream& stream, const EmSettings& settings) : stream_(stream) {
    stream.rows.check(settings);
    stream.rows.check_columns();
    if (stream.rows.grouped() || stream.rows.frozen())
      throw std::invalid_argument("rows of a stream are by themselves, and experts fitted");
  }

  void operator()(const MixtureParameters& parameters, const Assignment& assignment, PassSums sums,
                  const Poll&, EmStatistics& out) override {
    if (assignment) throw std::invalid_argument("rows of a stream have no assignment");
    out = stream_.pass(parameters, sums);
    check(parameters, sums, out);
  }

  const EmData& data() const override { return stream_.rows; }
  double weight() const override { return stream_.weight; }

 private:
  // Throws unless there are as many sums of each kind as a pass makes, which is what the M-step reads.
  void check(const MixtureParameters& p, PassSums sums, const EmStatistics& s) const {
    const EmData& rows = stream_.rows;
    const index_t gates = sums == PassSums::all && !rows.constant_gates() ? pairs(p.k - 1) : 0;
    const index_t experts = sums == PassSums::gradient ? 0 : p.k, own = rows.one_design() ? gates : 0;
    const auto require = [](const std::vector<double>& given, index_t wanted, const char* name) {
      if (static_cast<index_t>(given.size()) == wanted) return;
      throw std::invalid_argument(std::string("the pass returned ") + std::to_string(given.size()) + " " +
                                  name + ", not " + std::to_string(wanted));
    };
    require(s.totals, p.k, "totals");
    require(s.squares, p.k * p.n_squares(), "squares");
    require(s.residuals, static_cast<index_t>(p.experts.size()), "residuals");
    require(s.gate_slope, static_cast<index_t>(p.gates.size()), "gate_slope");
    require(s.shape_slopes, p.k, "shape_slopes");
    require(s.shape_curvatures, p.k, "shape_curvatures");
    require(s.products, (experts + own) * pairs(rows.expert_dim()), "products");
    require(s.gate_products, (gates - own) * pairs(rows.gate_dim()), "gate_products");
  }

  static index_t pairs(index_t n) { return n * (n + 1) / 2; }

  const RowStream& stream_;
};

}  // namespace moefast
