#include "moefast/power_iteration.hpp"

#include "array_args.hpp"
#include "bound_tensor.hpp"
#include "functions.hpp"

namespace moefast::bindings {

void bind_power_iteration(py::module_& m) {
  def(
      m, "power_iteration", "tensor, starts, rank, max_iter, tolerance",
      [](const Given& given) -> py::object {
        const BoundTensor& tensor = given.as<const BoundTensor&>("tensor");
        const Array starts = array_of("starts", given["starts"]);
        const py::ssize_t dim = tensor.tensor().dim();
        require_ndim(starts, "starts", 2);
        require_shape(starts, "starts", {starts.shape(0), dim});
        PowerSettings settings;
        const index_t rank = settings.rank = given.as<index_t>("rank");
        settings.max_iter = given.as<int>("max_iter");
        settings.tolerance = given.as<double>("tolerance");
        const Poll poll = make_poll();
        const double* first = starts.data();
        const index_t n_starts = starts.shape(0);
        std::vector<EigenPair> pairs;
        {
          const py::gil_scoped_release release;
          const PackedTensorOperator op(tensor.contraction());
          pairs = power_iteration(op, first, n_starts, settings, poll);
        }
        std::vector<double> values, vectors, residuals;
        py::list statuses, n_iter;
        for (const EigenPair& pair : pairs) {
          values.push_back(pair.value);
          residuals.push_back(pair.residual);
          vectors.insert(vectors.end(), pair.vector.begin(), pair.vector.end());
          statuses.append(to_string(pair.status));
          n_iter.append(pair.n_iter);
        }
        return tuple_of({make_array(values, {rank}), make_array(vectors, {rank, dim}),
                         make_array(residuals, {rank}), n_iter, statuses});
      },
      "Robust tensor power method: values (rank,), vectors (rank, dim), residuals (rank,), n_iter, "
      "statuses.");
}

}  // namespace moefast::bindings
