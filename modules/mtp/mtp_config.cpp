#include "mtp/mtp_config.hpp"

#include "config/section.hpp"

namespace moray {

void declare(Section& section, MtpConfig& config) {
  section
      .key("depth", config.depth,
           "Modules D, each of which predicts one token further; 0: none. DeepSeek-V3 takes 1.")
      .at_least(0);
  section.key("weight", config.weight, "Weight lambda of the loss; each module has lambda / D.")
      .at_least(0)
      .free()
      .source("DeepSeek-V3 report, section 4.2");
  section.key("weight_late", config.weight_late, "Lambda from mtp.switch_at on.")
      .at_least(0)
      .free()
      .source("DeepSeek-V3 report, section 4.2");
  section.key("switch_at", config.switch_at, "When lambda changes; 0: never.").at_least(0).free();
}

}  // namespace moray
