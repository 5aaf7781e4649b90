// EAQ_HOST_DEVICE: a small function for both sides; plain `inline` where no nvcc compiles.
#ifndef KERNELS_CUDA_HOST_DEVICE_H_
#define KERNELS_CUDA_HOST_DEVICE_H_

#if defined(__CUDACC__)
#define EAQ_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define EAQ_HOST_DEVICE inline
#endif

#endif  // KERNELS_CUDA_HOST_DEVICE_H_
