# Cross compilation for 64-bit ARM Linux with Debian's compiler (g++-aarch64-linux-gnu); what is built runs under
# qemu-user. -DMOEFAST_QEMU=... where it has another name.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
find_program(MOEFAST_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
set(CMAKE_CROSSCOMPILING_EMULATOR "${MOEFAST_QEMU};-L;/usr/aarch64-linux-gnu")
