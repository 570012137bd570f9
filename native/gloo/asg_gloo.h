// The C ABI of AccelerateSharp over Gloo's TCP transport.
//
// One convention for every function that returns int32_t: ASG_OK, or another status with a text in asg_last_error() and, where one peer is
// known to be the cause, its rank in asg_last_peer(). Both belong to the calling thread and last until its next call. No C++ exception
// leaves the library. A context that has returned a status other than ASG_OK from a communicating call is broken: abort and destroy it.
#ifndef ASG_GLOO_H
#define ASG_GLOO_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  ASG_OK = 0,
  ASG_TIMEOUT = 1,
  ASG_PEER_LOST = 2,  // a connection broke
  ASG_ABORTED = 3,    // asg_context_abort was called
  ASG_INVALID = 4,    // wrong arguments
  ASG_ERROR = 5,
};

// Reductions; the mean divides the sum by the number of ranks.
enum { ASG_SUM = 0, ASG_AVG = 1, ASG_MIN = 2, ASG_MAX = 3, ASG_PRODUCT = 4 };

// Element types, with libtorch's numbers.
enum {
  ASG_UINT8 = 0,
  ASG_INT8 = 1,
  ASG_INT16 = 2,
  ASG_INT32 = 3,
  ASG_INT64 = 4,
  ASG_FLOAT16 = 5,
  ASG_FLOAT32 = 6,
  ASG_FLOAT64 = 7,
  ASG_COMPLEX64 = 9,
  ASG_COMPLEX128 = 10,
  ASG_BOOL = 11,
  ASG_BFLOAT16 = 15,
};

typedef struct asg_device asg_device;    // a network interface and the thread that serves its sockets
typedef struct asg_context asg_context;  // the connections of one group
typedef struct asg_op asg_op;            // one posted send or receive

// Does nothing; measures the cost of a call.
int32_t asg_noop(void);
const char* asg_last_error(void);
int32_t asg_last_peer(void);  // -1 where no single peer is the cause

// Binds to an interface by name, or to an address by host name or number; one of the two is null.
int32_t asg_device_create(const char* host, const char* interface_name, asg_device** out);
void asg_device_destroy(asg_device* device);

// stage_bytes: the largest message of asg_exchange. Creates listening sockets; nothing is sent before asg_context_connect.
int32_t asg_context_create(
    asg_device* device, int32_t rank, int32_t size, int64_t stage_bytes, int64_t connect_timeout_ms, asg_context** out);
int64_t asg_context_address_bytes(const asg_context* context);  // the same on every rank
int32_t asg_context_address(const asg_context* context, uint8_t* out);
// addresses: what asg_context_address gave on ranks 0 .. size-1, one after the other.
int32_t asg_context_connect(asg_context* context, const uint8_t* addresses);
// Ends every pending call of the context with ASG_ABORTED, from any thread, and closes its connections. May be called more than once.
void asg_context_abort(asg_context* context);
// No call may be pending. Closes the connections in good order.
void asg_context_destroy(asg_context* context);

// Every rank sends one message (at most stage_bytes) to every other. *block: the messages of ranks 0 .. size-1, stage_bytes apart,
// readable until the next exchange. arrived[r]: 1 where rank r's message is there, also after an error.
int32_t asg_exchange(
    asg_context* context, const void* message, int64_t bytes, int64_t timeout_ms, const uint8_t** block, uint8_t* arrived);

// Sends send[r] to and receives recv[r] from every rank r; lengths of 0 are left out and must be 0 on the other side as well.
int32_t asg_exchange_v(
    asg_context* context, const void* const* send, const int64_t* send_bytes, void* const* recv, const int64_t* recv_bytes,
    int64_t timeout_ms);
int32_t asg_broadcast(asg_context* context, void* data, int64_t bytes, int32_t root, int64_t timeout_ms);
// Reductions add in the order of the ranks, 16-bit floats in single precision with one rounding: the result is the same on every rank
// and does not depend on how a buffer was cut.
int32_t asg_all_reduce(asg_context* context, void* data, int64_t count, int32_t dtype, int32_t op, int64_t timeout_ms);
int32_t asg_reduce(asg_context* context, void* data, int64_t count, int32_t dtype, int32_t op, int32_t root, int64_t timeout_ms);
// in: size * count elements; out: count elements.
int32_t asg_reduce_scatter(
    asg_context* context, const void* in, void* out, int64_t count, int32_t dtype, int32_t op, int64_t timeout_ms);

// Combines n arrays of count elements in this process; out may be one of them.
int32_t asg_reduce_local(int32_t dtype, int32_t op, void* out, const void* const* in, int32_t n, int64_t count);

// Point to point. A posted operation makes progress by itself; tags must be unique among what is in flight between two ranks.
int32_t asg_send(asg_context* context, int32_t peer, uint64_t tag, const void* data, int64_t bytes, asg_op** out);
int32_t asg_receive(asg_context* context, int32_t peer, uint64_t tag, void* data, int64_t bytes, asg_op** out);
int32_t asg_op_wait(asg_op* op, int64_t timeout_ms);
void asg_op_destroy(asg_op* op);

#ifdef __cplusplus
}
#endif
#endif
