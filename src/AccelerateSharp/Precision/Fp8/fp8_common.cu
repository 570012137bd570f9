// Float8 in both directions, in one pass over the memory: what the other sources of this folder begin with. Compiled at run time; needs no
// header. Compute capability 8.9 and above.
//
// A value v is stored as the float8 nearest to v * scale; what lies outside of the format's range becomes its largest number.

typedef unsigned char byte_t;
typedef unsigned short half_t;
typedef unsigned int word_t;

enum Format { E4M3 = 0, E5M2 = 1 };

struct Float32 { typedef float stored; };
struct BFloat16 { typedef half_t stored; };
struct Float16 { typedef half_t stored; };

__device__ __forceinline__ float from_half(word_t bits) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"((half_t)bits));
  return result;
}

__device__ __forceinline__ word_t to_half(float value) {
  half_t result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result) : "f"(value));
  return result;
}

// Eight neighbours of a row, in float32.
__device__ __forceinline__ void load8(const float* from, float* to, Float32) {
  float4 low = ((const float4*)from)[0], high = ((const float4*)from)[1];
  to[0] = low.x; to[1] = low.y; to[2] = low.z; to[3] = low.w;
  to[4] = high.x; to[5] = high.y; to[6] = high.z; to[7] = high.w;
}

__device__ __forceinline__ void load8(const half_t* from, float* to, BFloat16) {
  uint4 words = *(const uint4*)from;
  word_t parts[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = __uint_as_float(parts[i] << 16);
    to[2 * i + 1] = __uint_as_float(parts[i] & 0xffff0000u);
  }
}

__device__ __forceinline__ void load8(const half_t* from, float* to, Float16) {
  uint4 words = *(const uint4*)from;
  word_t parts[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = from_half(parts[i]);
    to[2 * i + 1] = from_half(parts[i] >> 16);
  }
}

// Two values as two float8 in the lower and the upper byte.
template <int FORMAT>
__device__ __forceinline__ word_t pair(float low, float high) {
  half_t result;
  if (FORMAT == E4M3) asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(result) : "f"(high), "f"(low));
  else asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(result) : "f"(high), "f"(low));
  return result;
}

// Two E4M3 in the lower and the upper byte as two float16 in the halves of a word.
__device__ __forceinline__ word_t unpack(word_t codes) {
  word_t result;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(result) : "h"((half_t)codes));
  return result;
}

// Four E4M3 in float32.
__device__ __forceinline__ void decode4(word_t codes, float factor, float* to) {
  word_t low = unpack(codes & 0xffff), high = unpack(codes >> 16);
  to[0] = from_half(low) * factor;
  to[1] = from_half(low >> 16) * factor;
  to[2] = from_half(high) * factor;
  to[3] = from_half(high >> 16) * factor;
}

__device__ __forceinline__ word_t encode4(const float* from, float scale) {
  return pair<E4M3>(from[0] * scale, from[1] * scale) | pair<E4M3>(from[2] * scale, from[3] * scale) << 16;
}

__device__ __forceinline__ void load_half4(const half_t* from, float factor, float* to) {
  uint2 words = *(const uint2*)from;
  to[0] = from_half(words.x) * factor;
  to[1] = from_half(words.x >> 16) * factor;
  to[2] = from_half(words.y) * factor;
  to[3] = from_half(words.y >> 16) * factor;
}

__device__ __forceinline__ void store_half4(half_t* to, const float* from) {
  *(uint2*)to = make_uint2(to_half(from[0]) | to_half(from[1]) << 16, to_half(from[2]) | to_half(from[3]) << 16);
}

// The largest of a block, added to the tensor's. Floats that are not negative are ordered like their bits; a NaN stands above all.
__device__ __forceinline__ void publish_amax(word_t mine, float* amax) {
  __shared__ word_t largest[8];
#pragma unroll
  for (int step = 16; step > 0; step >>= 1) {
    word_t other = __shfl_xor_sync(0xffffffffu, mine, step);
    mine = other > mine ? other : mine;
  }
  int thread = threadIdx.x;
  if ((thread & 31) == 0) largest[thread >> 5] = mine;
  __syncthreads();
  if (thread == 0) {
    for (int i = 1; i < 8; i++) mine = largest[i] > mine ? largest[i] : mine;
    if (mine > *(volatile word_t*)amax) atomicMax((word_t*)amax, mine);
  }
  // The memory serves the next tensor.
  __syncthreads();
}

// The scale that brings `amax` to the format's largest number; 1 where there is nothing to scale, or no finite number.
template <int FORMAT>
__device__ __forceinline__ float scale_for(float amax, float margin) {
  float largest = FORMAT == E4M3 ? 448.0f : 57344.0f;
  if (!(amax > 0.0f) || !(amax <= 3.402823466e38f)) return 1.0f;
  return fminf(__fmul_rn(__fdiv_rn(largest, amax), margin), 3.402823466e38f);
}
