#include <pybind11/pybind11.h>

#include <pybind11/stl.h>

#include <Eigen/Core>
#include <cstdlib>
#include <string>

#include "moefast/instruction_set.hpp"
#include "moefast/moments.hpp"
#include "moefast/parallel.hpp"

namespace py = pybind11;

namespace moefast::bindings {
namespace {

std::string compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#elif defined(__GNUC__)
  return "GCC " __VERSION__;
#elif defined(_MSC_VER)
  return "MSVC " + std::to_string(_MSC_VER);
#else
  return "unknown";
#endif
}

}  // namespace

void bind_build_info(py::module_& m) {
  m.attr("__version__") = MOEFAST_VERSION;
  m.def(
      "build_info",
      [] {
        py::dict info;
        info["version"] = MOEFAST_VERSION;
        info["compiler"] = compiler();
        info["openmp"] = threads_enabled();
        info["eigen"] = std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) +
                        "." + std::to_string(EIGEN_MINOR_VERSION);
        info["instruction_set"] = active_instruction_set();
        info["instruction_sets"] = usable_instruction_sets();
        info["super_block_rows"] = MomentAccumulator<double>::kSuperBlock;
        return info;
      },
      "What the extension was built with.");
  m.def("use_instruction_set", &use_instruction_set, py::arg("name"),
        "Switch the kernels; for tests and benchmarks, not while another thread computes.");
  m.def(
      "fma_peak",
      [](const std::string& dtype, index_t n_steps) {
        if (dtype != "float64" && dtype != "float32") {
          throw py::value_error("dtype must be 'float64' or 'float32', got '" + dtype + "'");
        }
        const py::gil_scoped_release release;
        return fma_peak(dtype == "float32", n_steps);
      },
      py::arg("dtype"), py::arg("n_steps"),
      "Multiply-adds on registers alone, one thread; returns the flops done. For benchmarks.");
  if (const char* wanted = std::getenv("MOEFAST_ISA"); wanted != nullptr && *wanted != '\0') {
    try {
      use_instruction_set(wanted);
    } catch (const std::invalid_argument& error) {
      throw py::import_error(std::string("MOEFAST_ISA: ") + error.what());
    }
  }
}

}  // namespace moefast::bindings
