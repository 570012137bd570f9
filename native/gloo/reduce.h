// Element-wise reductions of whole arrays.
#pragma once

#include <cstddef>
#include <cstdint>

namespace asg {

// Throws Error(ASG_INVALID) for a type it does not know.
size_t element_size(int dtype);

// out[i] = in[0][i] op in[1][i] op ... op in[n-1][i]; out may be one of the inputs.
void reduce_local(int dtype, int op, void* out, const void* const* in, int n, size_t count);

namespace baseline {
bool reduce(int dtype, int op, void* out, const void* const* in, int n, size_t count);
}
namespace avx2 {
bool reduce(int dtype, int op, void* out, const void* const* in, int n, size_t count);
}

}  // namespace asg
