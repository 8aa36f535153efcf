// The table of one instruction set's attention.
#include "kernels/attention/attention_host.hpp"

namespace moray::MORAY_ISA {

void attention_forward(const AttentionHead& head, long begin, long end, const AttentionOutput& out,
                       float* scratch);
void attention_backward(const AttentionHead& head, const AttentionGradient& gradient,
                        float* scratch);

extern const HostAttention host_attention;
const HostAttention host_attention = {attention_forward, attention_backward};

}  // namespace moray::MORAY_ISA
