#include <pybind11/stl.h>

#include <cstdlib>
#include <string>

#include "functions.hpp"
#include "moefast/instruction_set.hpp"
#include "moefast/moments.hpp"
#include "moefast/parallel.hpp"

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
  def(
      m, "build_info", "",
      [](const Given&) -> py::object {
        py::dict info;
        info["version"] = MOEFAST_VERSION;
        info["compiler"] = compiler();
        info["openmp"] = threads_enabled();
        info["eigen"] = MOEFAST_EIGEN_VERSION;
        info["instruction_set"] = active_instruction_set();
        info["instruction_sets"] = usable_instruction_sets();
        info["super_block_rows"] = MomentAccumulator<double>::kSuperBlock;
        return info;
      },
      "What the extension was built with.");
  def(
      m, "use_instruction_set", "name",
      [](const Given& given) -> py::object {
        use_instruction_set(given.as<std::string>("name"));
        return py::none();
      },
      "Switch the kernels; for tests and benchmarks, not while another thread computes.");
  def(
      m, "fma_peak", "dtype, n_steps",
      [](const Given& given) -> py::object {
        const bool single = is_float32(given.as<std::string>("dtype"));
        const index_t n_steps = given.as<index_t>("n_steps");
        double flops;
        {
          const py::gil_scoped_release release;
          flops = fma_peak(single, n_steps);
        }
        return py::float_(flops);
      },
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
