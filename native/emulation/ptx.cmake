# mlit_ptx_tests: mlit_emulation_tests again, with each kernel as nvcc wrote it. PTX is made of every .cu file, C++ of the PTX
# (scripts/cuda/ptx), and both stay in the build folder. Included by the top CMakeLists.txt.
find_program(MLIT_NODE node REQUIRED)
set(ptx_folder ${CMAKE_BINARY_DIR}/ptx)
file(MAKE_DIRECTORY ${ptx_folder})
file(GLOB ptx_scripts CONFIGURE_DEPENDS scripts/cuda/ptx-to-cpp.mjs scripts/cuda/ptx/*.mjs)
set(translated_sources "")
foreach(source IN LISTS emulated_kernels)
  get_filename_component(name ${source} NAME_WE)
  set(ptx ${ptx_folder}/${name}.ptx)
  add_custom_command(OUTPUT ${ptx}
    COMMAND ${MLIT_PTX_NVCC} -ptx -O3 -std=c++20 -arch=compute_80 -lineinfo -Werror all-warnings
      -I ${CMAKE_SOURCE_DIR}/native -MD -MT ${ptx} -MF ${ptx}.d -o ${ptx} ${source}
    DEPENDS ${source} DEPFILE ${ptx}.d VERBATIM COMMENT "PTX of ${name}.cu")
  add_custom_command(OUTPUT ${ptx_folder}/${name}.cpp
    COMMAND ${MLIT_NODE} ${CMAKE_SOURCE_DIR}/scripts/cuda/ptx-to-cpp.mjs ${ptx} ${ptx_folder}/${name}.cpp
    DEPENDS ${ptx} ${ptx_scripts} VERBATIM COMMENT "C++ of ${name}.ptx")
  list(APPEND translated_sources ${ptx_folder}/${name}.cpp)
endforeach()

# Not instrumented: each access of the PTX is a call. The names in #line are what findings show, so paths stay as they are.
add_library(mlit_translated_kernels OBJECT EXCLUDE_FROM_ALL ${translated_sources})
target_include_directories(mlit_translated_kernels PRIVATE native)
target_compile_options(mlit_translated_kernels PRIVATE -O1 -g1 -Wall -Wextra -Werror -Wno-unused -Wno-tautological-compare
  -fno-math-errno -ffp-contract=off)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  target_compile_options(mlit_translated_kernels PRIVATE -mfma)  # else each fma.rn is a call
endif()
add_executable(mlit_ptx_tests EXCLUDE_FROM_ALL $<TARGET_OBJECTS:mlit_emulation> $<TARGET_OBJECTS:mlit_emulated_kernels>
  $<TARGET_OBJECTS:mlit_translated_kernels>)
target_link_libraries(mlit_ptx_tests PRIVATE ${emulation_libraries})
