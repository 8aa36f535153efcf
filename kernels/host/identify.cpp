// Which instruction set this object was compiled for; host/host.hpp lists the declarations.
#define MORAY_STRING2(x) #x
#define MORAY_STRING(x) MORAY_STRING2(x)

namespace moray::MORAY_ISA {

const char* isa_name();
const char* isa_name() {
  return MORAY_STRING(MORAY_ISA);
}

}  // namespace moray::MORAY_ISA
