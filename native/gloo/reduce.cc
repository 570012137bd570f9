#include "reduce.h"

#include "asg_gloo.h"
#include "context.h"

namespace asg {

size_t element_size(int dtype) {
  switch (dtype) {
    case ASG_UINT8:
    case ASG_INT8:
    case ASG_BOOL:
      return 1;
    case ASG_INT16:
    case ASG_FLOAT16:
    case ASG_BFLOAT16:
      return 2;
    case ASG_INT32:
    case ASG_FLOAT32:
      return 4;
    case ASG_INT64:
    case ASG_FLOAT64:
    case ASG_COMPLEX64:
      return 8;
    case ASG_COMPLEX128:
      return 16;
    default:
      throw Error(ASG_INVALID, "unknown element type " + std::to_string(dtype));
  }
}

void reduce_local(int dtype, int op, void* out, const void* const* in, int n, size_t count) {
#if ASG_HAVE_AVX2
  static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
  const bool known = has_avx2 ? avx2::reduce(dtype, op, out, in, n, count) : baseline::reduce(dtype, op, out, in, n, count);
#else
  const bool known = baseline::reduce(dtype, op, out, in, n, count);
#endif
  if (!known) throw Error(ASG_INVALID, "reduction " + std::to_string(op) + " is not defined for element type " + std::to_string(dtype));
}

}  // namespace asg
