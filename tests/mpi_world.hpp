#pragma once

#include "comm/communicator.hpp"

namespace moray::test {

/// All ranks that a test program was started on, with MPI for its life.
inline const Communicator& world() {
  struct Session {
    Session() {
      int provided = 0;
      MPI_Init_thread(nullptr, nullptr, MpiSession::kThreadLevel, &provided);
    }
    ~Session() { MPI_Finalize(); }
  };
  static const Session session;
  static const Communicator ranks = Communicator::world();
  return ranks;
}

}  // namespace moray::test
