#pragma once

#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_host.hpp"

/// The variants of attention behind attention.hpp, whose arguments these are, already checked.
namespace moray {

/// The host kernels of one instruction set on the threads of the backend: a head of a sequence on
/// one thread, in a long forward also a part of its rows.
std::int64_t attention_host_workspace(const AttentionShape& shape);
void attention_host_forward(const ExecSpace& exec, const HostAttention& host,
                            const AttentionShape& shape, Matrix<const float> q,
                            Matrix<const float> kv, Matrix<const float> k_pe,
                            Vector<std::byte> workspace, Matrix<float> m, Matrix<float> l,
                            Matrix<float> o);
void attention_host_backward(const ExecSpace& exec, const HostAttention& host,
                             const AttentionShape& shape, float scale, Matrix<const float> dout,
                             Matrix<const float> o, Matrix<const float> q, Matrix<const float> kv,
                             Matrix<const float> k_pe, Matrix<const float> m, Matrix<const float> l,
                             Vector<std::byte> workspace, Matrix<float> dq, Matrix<float> dkv,
                             Matrix<float> dk_pe);

}  // namespace moray
