#include "asg_gloo.h"

#include <gloo/transport/tcp/device.h>

#include <string>

#include "collectives.h"
#include "context.h"
#include "reduce.h"

#define ASG_API extern "C" __attribute__((visibility("default")))

struct asg_device {
  std::shared_ptr<gloo::transport::Device> device;
};

struct asg_context : asg::Context {
  using Context::Context;
};

struct asg_op {
  asg_op(asg::Context& context, int peer, bool is_send, void* data, size_t bytes)
      : peer(peer), is_send(is_send), buffer(context, data, bytes) {}
  const int peer;
  const bool is_send;
  asg::Buffer buffer;
};

namespace {

thread_local std::string last_error;
thread_local int32_t last_peer = -1;

template <typename F>
int32_t guarded(F&& f) noexcept {
  int32_t status = ASG_OK;
  try {
    last_peer = -1;
    last_error.clear();
    f();
    return ASG_OK;
  } catch (const asg::Error& e) {
    status = e.status;
    last_peer = e.peer;
    try {
      last_error = e.what();
    } catch (...) {
    }
  } catch (const std::exception& e) {
    status = ASG_ERROR;
    try {
      last_error = e.what();
    } catch (...) {
    }
  } catch (...) {
    status = ASG_ERROR;
  }
  return status;
}

void require(bool condition, const char* message) {
  if (!condition) throw asg::Error(ASG_INVALID, message);
}

asg_op* post(asg_context* context, int32_t peer, uint64_t tag, void* data, int64_t bytes, bool is_send) {
  require(peer >= 0 && peer < context->size && peer != context->rank, "the peer must be another rank of the group");
  auto op = std::make_unique<asg_op>(*context, peer, is_send, data, bytes);
  if (is_send) op->buffer.send(peer, tag | uint64_t(1) << 63, 0, bytes);
  else op->buffer.receive(peer, tag | uint64_t(1) << 63, 0, bytes);
  return op.release();
}

}  // namespace

ASG_API int32_t asg_noop(void) { return ASG_OK; }

ASG_API const char* asg_last_error(void) { return last_error.c_str(); }

ASG_API int32_t asg_last_peer(void) { return last_peer; }

ASG_API int32_t asg_device_create(const char* host, const char* interface_name, asg_device** out) {
  return guarded([&] {
    gloo::transport::tcp::attr attr;
    if (interface_name != nullptr) attr.iface = interface_name;
    else if (host != nullptr) attr.hostname = host;
    *out = new asg_device{gloo::transport::tcp::CreateDevice(attr)};
  });
}

ASG_API void asg_device_destroy(asg_device* device) {
  guarded([&] { delete device; });
}

ASG_API int32_t asg_context_create(
    asg_device* device, int32_t rank, int32_t size, int64_t stage_bytes, int64_t connect_timeout_ms, asg_context** out) {
  return guarded([&] {
    require(size > 0 && rank >= 0 && rank < size, "the rank must lie within the group");
    *out = new asg_context(device->device, rank, size, stage_bytes, std::chrono::milliseconds(connect_timeout_ms));
  });
}

ASG_API int64_t asg_context_address_bytes(const asg_context* context) { return context->address_bytes(); }

ASG_API int32_t asg_context_address(const asg_context* context, uint8_t* out) {
  return guarded([&] { std::copy_n(context->address(), context->address_bytes(), out); });
}

ASG_API int32_t asg_context_connect(asg_context* context, const uint8_t* addresses) {
  return guarded([&] { context->connect(addresses); });
}

ASG_API void asg_context_abort(asg_context* context) {
  guarded([&] { context->abort(); });
}

ASG_API void asg_context_destroy(asg_context* context) {
  guarded([&] { delete context; });
}

ASG_API int32_t asg_exchange(
    asg_context* context, const void* message, int64_t bytes, int64_t timeout_ms, const uint8_t** block, uint8_t* arrived) {
  return guarded([&] { *block = context->exchange(message, bytes, asg::deadline_after(timeout_ms), arrived); });
}

ASG_API int32_t asg_exchange_v(
    asg_context* context, const void* const* send, const int64_t* send_bytes, void* const* recv, const int64_t* recv_bytes,
    int64_t timeout_ms) {
  return guarded(
      [&] { asg::exchange_v(*context, send, send_bytes, recv, recv_bytes, asg::kData, asg::deadline_after(timeout_ms)); });
}

ASG_API int32_t asg_broadcast(asg_context* context, void* data, int64_t bytes, int32_t root, int64_t timeout_ms) {
  return guarded([&] { asg::broadcast(*context, static_cast<uint8_t*>(data), bytes, root, asg::deadline_after(timeout_ms)); });
}

ASG_API int32_t asg_all_reduce(asg_context* context, void* data, int64_t count, int32_t dtype, int32_t op, int64_t timeout_ms) {
  return guarded([&] { asg::all_reduce(*context, static_cast<uint8_t*>(data), count, dtype, op, asg::deadline_after(timeout_ms)); });
}

ASG_API int32_t asg_reduce(
    asg_context* context, void* data, int64_t count, int32_t dtype, int32_t op, int32_t root, int64_t timeout_ms) {
  return guarded([&] { asg::reduce(*context, static_cast<uint8_t*>(data), count, dtype, op, root, asg::deadline_after(timeout_ms)); });
}

ASG_API int32_t asg_reduce_scatter(
    asg_context* context, const void* in, void* out, int64_t count, int32_t dtype, int32_t op, int64_t timeout_ms) {
  return guarded([&] {
    asg::reduce_scatter(
        *context, static_cast<const uint8_t*>(in), static_cast<uint8_t*>(out), count, dtype, op, asg::deadline_after(timeout_ms));
  });
}

ASG_API int32_t asg_reduce_local(int32_t dtype, int32_t op, void* out, const void* const* in, int32_t n, int64_t count) {
  return guarded([&] { asg::reduce_local(dtype, op, out, in, n, count); });
}

ASG_API int32_t asg_send(asg_context* context, int32_t peer, uint64_t tag, const void* data, int64_t bytes, asg_op** out) {
  return guarded([&] { *out = post(context, peer, tag, const_cast<void*>(data), bytes, true); });
}

ASG_API int32_t asg_receive(asg_context* context, int32_t peer, uint64_t tag, void* data, int64_t bytes, asg_op** out) {
  return guarded([&] { *out = post(context, peer, tag, data, bytes, false); });
}

ASG_API int32_t asg_op_wait(asg_op* op, int64_t timeout_ms) {
  return guarded([&] {
    if (op->is_send) op->buffer.wait_send(op->peer, asg::deadline_after(timeout_ms));
    else op->buffer.wait_receive(op->peer, asg::deadline_after(timeout_ms));
  });
}

ASG_API void asg_op_destroy(asg_op* op) {
  guarded([&] { delete op; });
}
