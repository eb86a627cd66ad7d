#include "moefast/power_iteration.hpp"

#include <pybind11/stl.h>

#include "array_args.hpp"
#include "bound_tensor.hpp"

namespace moefast::bindings {

void bind_power_iteration(py::module_& m) {
  m.def(
      "power_iteration",
      [](const BoundTensor& tensor, const Array& starts, index_t rank, int max_iter, double tolerance) {
        const py::ssize_t dim = tensor.tensor().dim();
        require_ndim(starts, "starts", 2);
        require_shape(starts, "starts", {starts.shape(0), dim});
        PowerSettings settings;
        settings.rank = rank;
        settings.max_iter = max_iter;
        settings.tolerance = tolerance;
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
        return py::make_tuple(make_array(values, {rank}), make_array(vectors, {rank, dim}),
                              make_array(residuals, {rank}), n_iter, statuses);
      },
      py::arg("tensor"), py::arg("starts").noconvert(), py::arg("rank"), py::arg("max_iter"),
      py::arg("tolerance"),
      "Robust tensor power method: values (rank,), vectors (rank, dim), residuals (rank,), n_iter, "
      "statuses.");
}

}  // namespace moefast::bindings
