#pragma once

#include <memory>
#include <optional>
#include <string>

#include "comm/mpi_collective.hpp"
#include "data/data.hpp"
#include "inference/decoder.hpp"
#include "io/checkpoint_folder.hpp"
#include "io/metrics.hpp"
#include "io/run_folder.hpp"
#include "io/run_lock.hpp"
#include "training/fp8_state.hpp"
#include "training/run.hpp"
#include "training/run_profile.hpp"
#include "training/saver.hpp"
#include "training/step_timeline.hpp"
#include "training/stop.hpp"
#include "training/trainer.hpp"

namespace moray {

/// One start of a run: the trainer with its data, its folder and what it writes there.
class TrainingSession {
 public:
  TrainingSession(const TrainRequest& request, const Communicator& ranks);

  /// Opens the run's folder, sets the weights and prints the banner.
  void start();
  /// Steps until the end of the deck or a reason to stop.
  ExitCode run();
  /// Leaves the reason in STATUS.
  void failed(const std::string& reason) const noexcept;

 private:
  // Start.
  void prepare_memory();
  bool goes_on();
  std::optional<Checkpoint> find_checkpoint(bool goes_on);
  void require_same_run(const Checkpoint& checkpoint) const;
  void open_folder(bool goes_on);
  void record_start();
  void set_state(const std::optional<Checkpoint>& checkpoint);
  void open_metrics();

  // Loop (session_loop.cpp).
  void after_step(const StepReport& report, double seconds);
  double validate();
  // Timelines of steps (session_trace.cpp).
  bool trace_due() const;
  void begin_trace();
  StepReport recorded_step(const Trainer::Sample& sample);
  void write_trace(std::int64_t step);
  struct Agreement {
    StopReason reason;
    bool minutes_due;  ///< checkpoint.every_minutes have gone by
    bool written;      ///< all ranks have written the save under way
  };
  Agreement agree_after_step(double seconds);
  ExitCode steps();
  void finish(ExitCode code);

  // Saves (session_save.cpp).
  void save();
  void begin_save();
  void complete_save();
  void complete_save_of_failed_run() noexcept;
  void save_if_room();
  void record_save(const std::string& path, std::int64_t step, double waited);
  void missed_save(std::int64_t step, const std::string& reason);
  Saver::Place checkpoint_place() const;
  std::vector<StateTensor> owned();

  // Output (session_report.cpp).
  void banner() const;
  void print_step(const StepReport& report, double seconds, double validation) const;
  void print_sample(std::int64_t step);
  RunProfile profile();
  std::vector<RunProfile::Sent> sent_in_a_step() const;
  RunProfile::TokenCopies copies_of_a_token() const;
  void write_profile();
  void print_timers();
  void print_end(ExitCode code);

  bool root() const { return ranks_.rank() == 0; }
  GateChoice saved_gates() const {
    return [this](std::size_t moe_layer) { return trainer_.saves_gate(moe_layer); };
  }
  CheckpointContent checkpoint_content(std::int64_t step) const;

  const std::int64_t started_bytes_ = peak_resident_bytes();  ///< before the session
  const KernelTimes kernel_times_;
  const TrainRequest& request_;
  const Communicator& ranks_;
  MpiCollective collective_;
  const Deck& deck_;
  Trainer trainer_;
  TrainingData data_;
  Arena arena_;
  std::unique_ptr<Decoder<float>> sampler_;  ///< rank 0, when the deck asks for samples
  std::optional<RunFolder> folder_;          ///< rank 0
  std::string folder_path_;                  ///< all ranks
  std::unique_ptr<RunLock> lock_;            ///< rank 0
  bool recorded_ = false;                    ///< rank 0: the folder is this start's
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<MetricsWriter>
      fp8_metrics_;  ///< rank 0, when the deck asks for statistics of FP8
  std::unique_ptr<StopWatch> stop_;
  Saver saver_;
  Fp8Saving fp8_;
  Recorder recorder_;                     ///< of a step that is traced
  ClockOffset clock_;                     ///< of this rank in it
  std::optional<StepTimeline> timeline_;  ///< rank 0: of the last one
  std::string data_digests_;
  bool resumes_ = false;          ///< the state of a run goes on, not only its weights
  std::int64_t step_ = 0;         ///< steps done
  std::int64_t first_step_ = 0;   ///< steps done when this start began
  std::int64_t saved_ = -1;       ///< step of the newest checkpoint
  std::int64_t verified_ = -1;    ///< step of the checkpoint that was read
  double last_save_seconds_ = 0;  ///< what a save takes that nothing goes on beside
  double begin_seconds_ = 0;      ///< that steps waited when the save under way was begun
  double last_save_at_ = 0;       ///< of the stop watch
  double mean_step_seconds_ = 0;
  LinkBytes sent_;  ///< by this rank, in the steps of this start
  FanOut fan_out_;  ///< of its tokens in them
  struct {
    std::size_t validation, sample, checkpoint;
  } part_;  ///< of the trainer's timers
};

}  // namespace moray
