#include "pipeline/interpreter.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <tuple>

namespace moray {
namespace {

using Token = std::uint64_t;

Token mix(Token a, Token b) {
  Token x = a * 0x9E3779B97F4A7C15ull + b + 0x632BE59BD9B4E019ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

Token sample(int stream, int micro) {
  return mix(1, static_cast<Token>(1000 * stream + micro));
}
Token forward(int stage, Token x) {
  return mix(mix(2, static_cast<Token>(stage)), x);
}
Token loss_gradient(Token y) {
  return mix(3, y);
}
Token backward(int stage, Token x, Token dy) {
  return mix(mix(mix(4, static_cast<Token>(stage)), x), dy);
}
Token accumulate(Token sum, Token x, Token dy) {
  return mix(mix(mix(5, sum), x), dy);
}
Token accumulate_gains(Token sum, Token x, Token dy) {
  return mix(mix(mix(6, sum), x), dy);
}

/// Where stages are, written down a second time.
struct Place {
  int rank;
  int chunk;
  auto operator<=>(const Place&) const = default;
};

class Machine {
 public:
  Machine(const PipelineSchedule& s, int buffers)
      : s_(s),
        buffers_(buffers),
        kind_(s.shape.kind),
        p_(s.shape.ranks),
        stages_(kind_ == ScheduleKind::dualpipev ? 2 * p_ : p_),
        streams_(kind_ == ScheduleKind::dualpipe ? 2 : 1),
        n_(s.shape.micro_batches / streams_) {}

  Interpretation run() {
    Interpretation result;
    result.most_held.assign(s_.ops.size(), 0);
    next_.assign(s_.ops.size(), 0);
    for (bool moved = true; moved && why_.empty();) {
      moved = false;
      for (int rank = 0; rank < p_; ++rank) {
        while (why_.empty() && step(rank)) {
          moved = true;
          int& most = result.most_held[rank];
          most = std::max(most, held_[rank]);
          if (held_[rank] > s_.slots[rank]) why_ = "too many activations";
          held_[rank] -= freed_;
        }
      }
    }
    if (why_.empty()) compare();
    result.right = why_.empty();
    result.why = why_;
    return result;
  }

 private:
  struct Held {
    std::optional<Token> input, output, gradient;
  };
  using Key = std::tuple<int, int, int>;  // rank, chunk, micro

  int stage(Place at) const { return at.chunk == 0 ? at.rank : stages_ - 1 - at.rank; }
  int stream(int chunk) const { return streams_ == 2 ? chunk : 0; }
  Place place(int stage, int stream) const {
    if (streams_ == 2) return stream == 0 ? Place{stage, 0} : Place{p_ - 1 - stage, 1};
    return stage < p_ ? Place{stage, 0} : Place{stages_ - 1 - stage, 1};
  }

  // A queue between two ranks, or within a rank a store by micro-batch.
  std::deque<Token>& wire(Place from, Place to, bool gradient, int micro) {
    return wires_[{from, to, gradient, from.rank == to.rank ? micro : -1}];
  }

  bool step(int rank) {
    const auto& list = s_.ops[rank];
    if (next_[rank] == list.size()) return false;
    const PipelineOp& op = list[next_[rank]];
    freed_ = 0;
    if (op.has_forward() && !ready(rank, op.forward, false)) return false;
    if (op.has_input_gradient() && !ready(rank, op.backward, true)) return false;
    if (op.has_forward() && !room(rank, op.forward, false)) return false;
    if (op.has_input_gradient() && !room(rank, op.backward, true)) return false;
    // An overlapped pair reads everything before it sends anything.
    std::optional<Token> x, dy;
    if (op.has_forward()) x = read(rank, op.forward, false);
    if (op.has_input_gradient()) dy = read(rank, op.backward, true);
    if (op.kind == OpKind::FB && op.forward == op.backward) why_ = "a pair of itself";
    if (op.has_forward() && why_.empty()) do_forward(rank, op.forward, *x);
    if (op.has_input_gradient() && why_.empty()) do_input(rank, op.backward, dy);
    if (op.has_weight_gradient() && why_.empty()) do_weight(rank, op.backward);
    ++next_[rank];
    return true;
  }

  bool outside(Unit u) const {
    return u.chunk < 0 || u.chunk > (stages_ > p_ || streams_ == 2 ? 1 : 0) || u.micro < 0 ||
           u.micro >= n_;
  }
  bool ready(int rank, Unit u, bool gradient) {
    if (outside(u)) return true;
    const int st = stage({rank, u.chunk});
    const int other = gradient ? st + 1 : st - 1;
    if (other < 0 || other == stages_) return true;
    return !wire(place(other, stream(u.chunk)), {rank, u.chunk}, gradient, u.micro).empty();
  }
  bool room(int rank, Unit u, bool gradient) {
    if (outside(u) || buffers_ == 0) return true;
    const int st = stage({rank, u.chunk});
    const int other = gradient ? st - 1 : st + 1;
    if (other < 0 || other == stages_) return true;
    const Place to = place(other, stream(u.chunk));
    return to.rank == rank ||
           static_cast<int>(wire({rank, u.chunk}, to, gradient, u.micro).size()) < buffers_;
  }
  std::optional<Token> read(int rank, Unit u, bool gradient) {
    if (outside(u)) {
      why_ = "no such unit";
      return std::nullopt;
    }
    const int st = stage({rank, u.chunk});
    if (!gradient && st == 0) return sample(stream(u.chunk), u.micro);
    if (gradient && st + 1 == stages_) return std::nullopt;  // from its own output
    auto& queue = wire(place(gradient ? st + 1 : st - 1, stream(u.chunk)), {rank, u.chunk},
                       gradient, u.micro);
    const Token token = queue.front();
    queue.pop_front();
    return token;
  }

  void do_forward(int rank, Unit u, Token x) {
    Held& held = store_[{rank, u.chunk, u.micro}];
    if (held.input) {
      why_ = "a forward twice";
      return;
    }
    const int st = stage({rank, u.chunk});
    held.input = x;
    held.output = forward(st, x);
    ++held_[rank];
    if (st + 1 < stages_)
      wire({rank, u.chunk}, place(st + 1, stream(u.chunk)), false, u.micro).push_back(*held.output);
  }
  void do_input(int rank, Unit u, std::optional<Token> dy) {
    const auto found = store_.find({rank, u.chunk, u.micro});
    if (found == store_.end() || found->second.gradient) {
      why_ = "a backward without its forward, or twice";
      return;
    }
    Held& held = found->second;
    const int st = stage({rank, u.chunk});
    held.gradient = dy ? *dy : loss_gradient(*held.output);
    const Token dx = backward(st, *held.input, *held.gradient);
    Token& gains = gains_[{rank, u.chunk}];
    gains = accumulate_gains(gains, *held.input, *held.gradient);
    if (st > 0)
      wire({rank, u.chunk}, place(st - 1, stream(u.chunk)), true, u.micro).push_back(dx);
    else
      input_gradients_[{stream(u.chunk), u.micro}] = dx;
  }
  void do_weight(int rank, Unit u) {
    const auto found = store_.find({rank, u.chunk, u.micro});
    if (found == store_.end() || !found->second.gradient) {
      why_ = "a weight gradient without its backward";
      return;
    }
    Token& sum = sums_[{rank, u.chunk}];
    sum = accumulate(sum, *found->second.input, *found->second.gradient);
    store_.erase(found);
    ++freed_;
    done_[{rank, u.chunk, u.micro}] += 1;
  }

  // A serial run of every stream, against what the ranks have.
  void compare() {
    for (int rank = 0; rank < p_; ++rank)
      if (next_[rank] != s_.ops[rank].size()) why_ = "waits for ever";
    for (const auto& [key, queue] : wires_)
      if (!queue.empty()) why_ = "a message that nobody takes";
    if (!store_.empty()) why_ = "an activation is left";
    for (const auto& [key, times] : done_)
      if (times != 1) why_ = "a unit twice";
    for (int c = 0; c < streams_ && why_.empty(); ++c) {
      std::vector<Token> sums(static_cast<std::size_t>(stages_), 0);
      std::vector<Token> gains = sums;
      for (int m = 0; m < n_; ++m) {
        std::vector<Token> x = {sample(c, m)};
        for (int st = 0; st < stages_; ++st) x.push_back(forward(st, x.back()));
        Token dy = loss_gradient(x.back());
        for (int st = stages_ - 1; st >= 0; --st) {
          sums[st] = accumulate(sums[st], x[st], dy);
          gains[st] = accumulate_gains(gains[st], x[st], dy);
          dy = backward(st, x[st], dy);
        }
        if (input_gradients_[{c, m}] != dy) why_ = "a wrong input gradient";
      }
      for (int st = 0; st < stages_; ++st)
        if (sums_[place(st, c)] != sums[st]) why_ = "a wrong weight gradient";
      for (int st = 0; st < stages_ && why_.empty(); ++st)
        if (gains_[place(st, c)] != gains[st]) why_ = "a wrong gradient of the norm gains";
    }
  }

  const PipelineSchedule& s_;
  int buffers_;
  ScheduleKind kind_;
  int p_, stages_, streams_, n_;
  std::vector<std::size_t> next_;
  std::map<std::tuple<Place, Place, bool, int>, std::deque<Token>> wires_;
  std::map<Key, Held> store_;
  std::map<Key, int> done_;
  std::map<std::pair<int, int>, Token> input_gradients_;
  std::map<Place, Token> sums_, gains_;
  std::map<int, int> held_;
  int freed_ = 0;
  std::string why_;
};

}  // namespace

Interpretation interpret(const PipelineSchedule& schedule, int buffers) {
  return Machine(schedule, buffers).run();
}

}  // namespace moray
