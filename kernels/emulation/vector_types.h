// CUDA's short vectors, with CUDA's alignment.
#ifndef KERNELS_EMULATION_VECTOR_TYPES_H_
#define KERNELS_EMULATION_VECTOR_TYPES_H_

#include <cstdint>

#define EAQ_VECTOR_2(name, type)          \
  struct alignas(2 * sizeof(type)) name { \
    type x, y;                            \
  };                                      \
  inline name make_##name(type x, type y) { return {x, y}; }
#define EAQ_VECTOR_4(name, type, alignment) \
  struct alignas(alignment) name {          \
    type x, y, z, w;                        \
  };                                        \
  inline name make_##name(type x, type y, type z, type w) { return {x, y, z, w}; }

EAQ_VECTOR_2(char2, signed char)
EAQ_VECTOR_2(uchar2, unsigned char)
EAQ_VECTOR_2(short2, short)
EAQ_VECTOR_2(ushort2, unsigned short)
EAQ_VECTOR_2(int2, int)
EAQ_VECTOR_2(uint2, unsigned)
EAQ_VECTOR_2(float2, float)
EAQ_VECTOR_2(double2, double)
EAQ_VECTOR_2(longlong2, long long)
EAQ_VECTOR_2(ulonglong2, unsigned long long)
EAQ_VECTOR_4(char4, signed char, 4)
EAQ_VECTOR_4(uchar4, unsigned char, 4)
EAQ_VECTOR_4(short4, short, 8)
EAQ_VECTOR_4(ushort4, unsigned short, 8)
EAQ_VECTOR_4(int4, int, 16)
EAQ_VECTOR_4(uint4, unsigned, 16)
EAQ_VECTOR_4(float4, float, 16)

#undef EAQ_VECTOR_2
#undef EAQ_VECTOR_4

#endif  // KERNELS_EMULATION_VECTOR_TYPES_H_
