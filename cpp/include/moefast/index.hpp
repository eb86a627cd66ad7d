// The type of counts and indices, alone: the kernels need no more of types.hpp, whose headers take the
// compiler longer than most kernels do.
#pragma once

#include <cstdint>

namespace moefast {

using index_t = std::int64_t;

}  // namespace moefast
