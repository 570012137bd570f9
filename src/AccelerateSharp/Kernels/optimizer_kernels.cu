// AdamW with moments in 8 bits, in one pass over the memory. Compiled at run time; needs no header.

typedef unsigned char byte_t;
typedef unsigned short half_t;
typedef unsigned int word_t;

struct Float32 { typedef float stored; };
struct BFloat16 { typedef half_t stored; };
struct Float16 { typedef half_t stored; };

__device__ __forceinline__ float load(const float* from, Float32) { return *from; }
__device__ __forceinline__ float load(const half_t* from, BFloat16) { return __uint_as_float((word_t)*from << 16); }
__device__ __forceinline__ float load(const half_t* from, Float16) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(*from));
  return result;
}

__device__ __forceinline__ void store(float* to, float value, Float32) { *to = value; }
__device__ __forceinline__ void store(half_t* to, float value, BFloat16) {
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(*to) : "f"(value));
}
__device__ __forceinline__ void store(half_t* to, float value, Float16) {
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(*to) : "f"(value));
}

// How many of the 255 ascending boundaries lie below the value.
__device__ __forceinline__ int nearest(const float* boundaries, float value) {
  int below = 0;
#pragma unroll
  for (int step = 128; step > 0; step >>= 1)
    if (below + step <= 255 && boundaries[below + step - 1] < value) below += step;
  return below;
}

// Of the 256 threads of a block, to all of them.
__device__ __forceinline__ float largest(float mine, float* parts) {
#pragma unroll
  for (int step = 16; step > 0; step >>= 1) mine = fmaxf(mine, __shfl_xor_sync(0xffffffffu, mine, step));
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = mine;
  __syncthreads();
  mine = parts[0];
#pragma unroll
  for (int i = 1; i < 8; i++) mine = fmaxf(mine, parts[i]);
  return mine;
}

// A block of threads goes over blocks of 256 numbers. `tables` are four times 256 numbers: the signed map, its boundaries, the
// unsigned map, its boundaries. `rate` is the negative learning rate over the first moment's correction, `root` the root of the
// second's reciprocal.
template <typename T>
__device__ __forceinline__ void adamw8bit(
    typename T::stored* parameter, const typename T::stored* gradient, byte_t* codes, byte_t* square_codes, float* scales, float* square_scales,
    const float* signed_map, const float* signed_boundaries, const float* unsigned_map, const float* unsigned_boundaries, const float* rate, const float* root,
    long long count, float beta1, float rest1, float beta2, float rest2, float keep, float epsilon) {
  __shared__ float tables[4][256], parts[2][8];
  int thread = threadIdx.x;
  tables[0][thread] = signed_map[thread];
  tables[2][thread] = unsigned_map[thread];
  if (thread < 255) {
    tables[1][thread] = signed_boundaries[thread];
    tables[3][thread] = unsigned_boundaries[thread];
  }
  __syncthreads();
  float scaled_rate = *rate, scaled_root = *root;
  for (long long block = blockIdx.x; block * 256 < count; block += gridDim.x) {
    long long at = block * 256 + thread;
    bool inside = at < count;
    float average = 0.0f, square = 0.0f;
    if (inside) {
      float g = load(gradient + at, T());
      average = beta1 * (tables[0][codes[at]] * scales[block]) + rest1 * g;
      square = beta2 * (tables[2][square_codes[at]] * square_scales[block]) + rest2 * g * g;
    }
    float scale = largest(fabsf(average), parts[0]), square_scale = largest(square, parts[1]);
    codes[at] = (byte_t)nearest(tables[1], average / fmaxf(scale, 1e-30f));
    // A second moment that is not zero must not become zero: the update divides by its root.
    int square_code = nearest(tables[3], square / fmaxf(square_scale, 1e-30f));
    square_codes[at] = (byte_t)(square_code > 1 ? square_code : 1);
    if (inside) {
      float value = load(parameter + at, T()) * keep + average * scaled_rate / (sqrtf(square) * scaled_root + epsilon);
      store(parameter + at, value, T());
    }
    // All threads have read the scales and the parts before the next block writes them.
    __syncthreads();
    if (thread == 0) {
      scales[block] = scale;
      square_scales[block] = square_scale;
    }
  }
}

#define OPTIMIZER(NAME, T)                                                                                                              \
  extern "C" __global__ void __launch_bounds__(256) adamw8bit_##NAME(                                                                   \
      T::stored* parameter, const T::stored* gradient, byte_t* codes, byte_t* square_codes, float* scales, float* square_scales,        \
      const float* signed_map, const float* signed_boundaries, const float* unsigned_map, const float* unsigned_boundaries,             \
      const float* rate, const float* root, long long count, float beta1, float rest1, float beta2, float rest2, float keep,            \
      float epsilon) {                                                                                                                  \
    adamw8bit<T>(parameter, gradient, codes, square_codes, scales, square_scales, signed_map, signed_boundaries, unsigned_map,          \
                 unsigned_boundaries, rate, root, count, beta1, rest1, beta2, rest2, keep, epsilon);                                    \
  }

OPTIMIZER(f32, Float32)
OPTIMIZER(bf16, BFloat16)
OPTIMIZER(f16, Float16)
