#pragma once

#include "core/recorder.hpp"
#include "model/model.hpp"

namespace moray {

/// One micro-batch in one chunk of a model, piece by piece. The pieces are the chunk's layers and then
/// the MTP modules; what lies before, between and behind them (embedding, final norm, head) is done
/// with the piece next to it.
template <class Real>
class ChunkPass {
 public:
  using Options = typename Model<Real>::Options;

  int pieces() const { return layers_ + modules_; }

 protected:
  ChunkPass(Model<Real>& model, Pass<Real>& pass, const ModelUnit& unit, const BatchLayout& batch,
            const Options& options);

  bool is_module(int piece) const { return piece >= layers_; }
  /// 0: the trunk's, else of an MTP module.
  std::int64_t use_of(int piece) const { return is_module(piece) ? piece - layers_ + 1 : 0; }
  /// Tells the probe, if there is one, where the stages that follow are.
  void enter(const char* place, std::int64_t index) const {
    if (pass_.probe != nullptr) pass_.probe->enter(place, index, batch_);
  }
  std::int64_t layer(int piece) const {
    return is_module(piece) ? model_.config().model.layers + use_of(piece) - 1
                            : chunk_.first + piece;
  }
  /// A phase as a span of the recorder, if anything is recorded. It ends when its kernels do.
  class Recorded {
   public:
    Recorded(const ExecSpace& exec, Phase phase, PhasePart part, std::int64_t layer)
        : exec_(exec), scope_(phase, part, layer) {}
    ~Recorded() {
      if (Recorder::active()) fence(exec_, "moray::model: a phase that is recorded");
    }
    Recorded(const Recorded&) = delete;
    Recorded& operator=(const Recorded&) = delete;

   private:
    const ExecSpace& exec_;
    Recorder::Scope scope_;
  };
  Recorded record(Phase phase, PhasePart part, int piece) const {
    return {pass_.exec, phase, part, piece < 0 ? -1 : layer(piece)};
  }
  Block<Real>& block(int piece) const;
  typename Block<Real>::Slot& slot(int piece) const;
  typename MtpModule<Real>::Slot& module_slot(int piece) const {
    return slot_.mtp[static_cast<std::size_t>(piece - layers_)];
  }
  MtpModule<Real>& module(int piece) const {
    return model_.mtp_[static_cast<std::size_t>(piece - layers_)];
  }
  /// Enters the piece, and says what its phases share.
  typename Block<Real>::Frame frame(int piece) const;

  Model<Real>& model_;
  Pass<Real>& pass_;
  ModelUnit unit_;
  const BatchLayout& batch_;
  Options options_;
  const ModelChunk& chunk_;
  typename Model<Real>::Slot& slot_;
  int layers_;
  int modules_;
};

/// Forward. Without overlap: run(). Else begin(), then for each piece attention ... combine_finish,
/// then end(); communication runs between a start and its finish, of two hops the first up to the relay.
template <class Real>
class ForwardPass : public ChunkPass<Real> {
 public:
  /// `out` (b S, D) gets what goes to the next stage; unused in a chunk with the head.
  ForwardPass(Model<Real>& model, Pass<Real>& pass, const ModelUnit& unit, const BatchLayout& batch,
              const typename Model<Real>::Options& options, Matrix<Real> out);

  void run();
  void begin();
  void attention(int piece);
  void dispatch_start(int piece);
  void dispatch_relay(int piece);
  void dispatch_finish(int piece);
  void experts(int piece);
  void combine_start(int piece);
  void combine_relay(int piece);
  void combine_finish(int piece);
  void end();

 private:
  void final_norm();
  Matrix<Real> output(int piece) const;

  Matrix<Real> out_;
};

/// Backward, from the last piece to the first. `dh` (b S, D) holds the gradient of the chunk's output,
/// unless it has the head, and in the end that of its input. Norm gains, embedding and head are
/// accumulated with the input gradients.
template <class Real>
class BackwardPass : public ChunkPass<Real> {
 public:
  BackwardPass(Model<Real>& model, Pass<Real>& pass, const ModelUnit& unit,
               const BatchLayout& batch, const typename Model<Real>::Options& options,
               Matrix<Real> dh);

  /// B and W; B; W.
  void run();
  void run_input();
  void run_weight();

  void begin();
  void combine_start(int piece);
  void combine_relay(int piece);
  void combine_finish(int piece);
  /// Of the experts' down projections; of all else between dispatch and combine.
  void experts_down(int piece);
  void experts_gate_up(int piece);
  void dispatch_start(int piece);
  void dispatch_relay(int piece);
  void dispatch_finish(int piece);
  void attention(int piece);
  void end();
  /// After experts_gate_up(); after attention() and experts_weight().
  void experts_weight(int piece);
  void attention_weight(int piece);

 private:
  typename Block<Real>::Deferred& deferred(int piece) const;
  /// Of a piece's output, then of its input.
  Matrix<Real> gradient(int piece) const;
  void input(int piece);
  void weight(int piece);
  /// From the head's gradient, when the modules have added theirs, to that of the trunk's output.
  void final_norm();

  typename Model<Real>::Deferred& deferred_;
  Matrix<Real> dh_;
};

/// Runs a forward and a backward, of two chunks, as one: the exchanges of each under the computation of
/// the other, in the order of DeepSeek-V3's public trace (profile-data): combine(B), attn(F), mlp(B),
/// dispatch(F), dispatch(B), mlp(W), mlp(F), attn(B), attn(W), combine(F). Of two hops each has a computation
/// of its own to run under, but the first of the last layer's combine(B).
template <class Real>
void run_overlapped(ForwardPass<Real>& forward, BackwardPass<Real>& backward);

}  // namespace moray
