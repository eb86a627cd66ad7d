// Functions for Python, and the arguments that Python gave.
//
// pybind11 compiles loaders, converters and a call anew for each signature; for the sixty functions here that
// took longer than all the rest. So all have one signature, `py::object (const Given&)`, and ask for their
// arguments by name.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace moefast::bindings {

namespace py = pybind11;

// Whether this is a T from Python that has its C++ object. One of T.__new__ alone has none: pybind11 would
// take memory for it that nothing has filled.
template <class T>
bool is_made(const py::handle& value) {
  return py::isinstance<T>(value) &&
         reinterpret_cast<py::detail::instance*>(value.ptr())->get_value_and_holder().holder_constructed();
}

// What Python gave as a T, which may be a reference to an object of a class that is bound.
template <class T>
T from_python(const std::string& name, const py::handle& value) {
  py::detail::make_caster<T> caster;
  bool known = true;
  if constexpr (std::is_reference_v<T>) known = is_made<std::remove_cvref_t<T>>(value);
  if (!known || !caster.load(value, true))
    throw py::type_error(name + " cannot be " + py::repr(value).cast<std::string>());
  if constexpr (std::is_reference_v<T>) {
    return py::detail::cast_op<T>(caster);
  } else {
    return py::detail::cast_op<T>(std::move(caster));
  }
}

inline bool is_float32(const std::string& dtype) {
  if (dtype != "float64" && dtype != "float32")
    throw py::value_error("dtype must be 'float64' or 'float32', got '" + dtype + "'");
  return dtype == "float32";
}

inline py::tuple tuple_of(std::initializer_list<py::object> items) {
  py::tuple tuple(items.size());
  std::size_t i = 0;
  for (const py::object& item : items) tuple[i++] = item;
  return tuple;
}

// The items of what has to be a sequence of `n`.
inline py::tuple items_of(const std::string& name, const py::handle& value, std::size_t n) {
  if (!py::isinstance<py::sequence>(value) || py::len(value) != n)
    throw py::type_error(name + " must be a tuple of " + std::to_string(n));
  return py::tuple(py::reinterpret_borrow<py::object>(value));
}

// The names of arguments. `text` is as in Python, "X, y, w=None"; a last one may be "**others".
class Signature {
 public:
  Signature(std::string name, std::string text) : name_(std::move(name)), text_(std::move(text)) {
    for (std::size_t from = 0; from < text_.size();) {
      const std::size_t to = std::min(text_.find(", ", from), text_.size());
      const std::string argument = text_.substr(from, to - from);
      const std::size_t equals = argument.find('=');
      if (argument.compare(0, 2, "**") == 0) {
        takes_others_ = true;
      } else {
        arguments_.push_back(argument.substr(0, equals));
        if (equals == std::string::npos) n_required_ = arguments_.size();
      }
      from = to + 2;
    }
  }

  const std::string& name() const { return name_; }
  const std::vector<std::string>& arguments() const { return arguments_; }
  std::size_t n_required() const { return n_required_; }
  bool takes_others() const { return takes_others_; }
  bool of_method() const { return !arguments_.empty() && arguments_.front() == "self"; }
  std::size_t place(const std::string& argument) const {
    return std::find(arguments_.begin(), arguments_.end(), argument) - arguments_.begin();
  }
  // With a first line from which Python itself tells the signature.
  std::string documentation(const char* text) const { return name_ + "(" + text_ + ")\n--\n\n" + text; }

 private:
  std::string name_, text_;
  std::vector<std::string> arguments_;
  std::size_t n_required_ = 0;
  bool takes_others_ = false;
};

// The arguments of one call, alive as long as the call is.
class Given {
 public:
  Given(const Signature& signature, const py::args& args, const py::kwargs& kwargs)
      : signature_(signature), values_(signature.arguments().size()) {
    if (args.size() > values_.size()) refuse("takes " + std::to_string(values_.size()) + " arguments");
    std::copy(args.begin(), args.end(), values_.begin());
    for (const auto& [key, value] : kwargs) {
      const std::string name = key.cast<std::string>();
      const std::size_t place = signature.place(name);
      if (place < values_.size()) {
        if (values_[place]) refuse("was given " + name + " twice");
        values_[place] = value;
      } else if (signature.takes_others()) {
        others_.emplace_back(name, value);
      } else {
        refuse("has no argument " + name);
      }
    }
    for (std::size_t i = 0; i < signature.n_required(); ++i)
      if (!values_[i]) refuse("needs " + signature.arguments()[i]);
  }

  // None where it was left out.
  py::handle operator[](const char* name) const {
    const py::handle value = values_.at(signature_.place(name));
    return value ? value : py::handle(Py_None);
  }
  bool has(const char* name) const { return !(*this)[name].is_none(); }
  template <class T>
  T as(const char* name) const {
    return from_python<T>(signature_.name() + ": " + name, (*this)[name]);
  }
  template <class T>
  T as(const char* name, T if_left_out) const {
    return has(name) ? as<T>(name) : if_left_out;
  }
  const std::vector<std::pair<std::string, py::handle>>& others() const { return others_; }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw py::type_error(signature_.name() + "() " + why);
  }

  const Signature& signature_;
  std::vector<py::handle> values_;
  std::vector<std::pair<std::string, py::handle>> others_;
};

using Body = py::object (*)(const Given&);

inline py::cpp_function function_of(const Signature& signature, Body body, const py::handle& scope,
                                    const char* doc) {
  py::options options;
  options.disable_function_signatures();
  const auto call = [signature, body](const py::args& args, const py::kwargs& kwargs) {
    return body(Given(signature, args, kwargs));
  };
  const std::string text = signature.documentation(doc);
  if (signature.of_method() && PyType_Check(scope.ptr()))
    return py::cpp_function(call, py::name(signature.name().c_str()), py::is_method(scope), text.c_str());
  return py::cpp_function(call, py::name(signature.name().c_str()), py::scope(scope), text.c_str());
}

// A function of a module, or of a class: a method where the first argument is self.
inline void def(const py::handle& scope, const char* name, const char* arguments, Body body,
                const char* doc = "") {
  const Signature signature(name, arguments);
  const py::cpp_function function = function_of(signature, body, scope, doc);
  if (PyType_Check(scope.ptr()) && !signature.of_method()) {
    py::setattr(scope, name, py::staticmethod(function));
  } else {
    py::setattr(scope, name, function);
  }
}

// A class without pickles: pickle's oldest protocols call pybind11's own base class, which ends the process.
template <class T>
py::class_<T> bind_class(py::module_& m, const char* name, const char* doc) {
  py::class_<T> bound(m, name, doc);
  def(bound, "__reduce__", "self", [](const Given& given) -> py::object {
    throw py::type_error("cannot pickle " + py::repr(given["self"]).cast<std::string>());
  });
  return bound;
}

// An attribute to read.
inline void def_property(const py::handle& scope, const char* name, Body body) {
  const py::cpp_function getter = function_of(Signature(name, "self"), body, scope, "");
  py::setattr(scope, name, py::module_::import("builtins").attr("property")(getter));
}

template <class T>
void def_init(py::class_<T>& scope, const char* arguments, std::unique_ptr<T> (*make)(const Given&)) {
  py::options options;
  options.disable_function_signatures();
  const Signature signature(scope.attr("__name__").template cast<std::string>(), arguments);
  const std::string text = Signature("__init__", "self, " + std::string(arguments)).documentation("");
  scope.def(py::init([signature, make](const py::args& args, const py::kwargs& kwargs) {
              return make(Given(signature, args, kwargs));
            }),
            text.c_str());
}

}  // namespace moefast::bindings
