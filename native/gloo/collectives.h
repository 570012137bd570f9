// Collectives over the messages of a Context. Callers have agreed on operation, sizes and types before (asg_exchange).
#pragma once

#include <cstddef>
#include <cstdint>

#include "context.h"

namespace asg {

void exchange_v(
    Context& context, const void* const* send, const int64_t* send_bytes, void* const* recv, const int64_t* recv_bytes, uint64_t slot,
    Deadline deadline);
void broadcast(Context& context, uint8_t* data, size_t bytes, int root, Deadline deadline);
void all_reduce(Context& context, uint8_t* data, size_t count, int dtype, int op, Deadline deadline);
void reduce(Context& context, uint8_t* data, size_t count, int dtype, int op, int root, Deadline deadline);
void reduce_scatter(Context& context, const uint8_t* in, uint8_t* out, size_t count, int dtype, int op, Deadline deadline);

}  // namespace asg
