#include "pipeline/legal_move.hpp"

#include <set>
#include <vector>

#include "pipeline/check.hpp"

namespace moray {
namespace {

struct Node {
  int rank;
  int position;
  auto operator<=>(const Node&) const = default;
};

const PipelineOp& op_at(const PipelineSchedule& s, Node n) {
  return s.ops[n.rank][n.position];
}

/// What an op does, as (part, stage, stream, micro): parts 0 forward, 1 input, 2 weight.
struct Done {
  int part, stage, stream, micro;
  bool operator==(const Done&) const = default;
};

std::vector<Done> deeds(const PipelineSchedule& s, Node n) {
  const PipelineOp& op = op_at(s, n);
  std::vector<Done> all;
  const auto add = [&](int part, Unit u) {
    all.push_back({part, s.shape.stage(n.rank, u.chunk), s.shape.stream(u.chunk), u.micro});
  };
  if (op.has_forward()) add(0, op.forward);
  if (op.has_input_gradient()) add(1, op.backward);
  if (op.has_weight_gradient()) add(2, op.backward);
  return all;
}

/// Whether the second deed reads what the first makes.
bool feeds(const Done& a, const Done& b) {
  if (a.stream != b.stream || a.micro != b.micro) return false;
  if (a.part == 0 && b.part == 0) return b.stage == a.stage + 1;
  if (a.part == 1 && b.part == 1) return b.stage == a.stage - 1;
  return a.stage == b.stage && b.part == a.part + 1;
}

bool depends(const PipelineSchedule& s, Node a, Node b) {
  for (const Done& x : deeds(s, a))
    for (const Done& y : deeds(s, b))
      if (feeds(x, y)) return true;
  return false;
}

/// Whether `to` can be reached from `from` by data and by the order of each rank, the step from
/// `from` to its neighbour left out.
bool reaches(const PipelineSchedule& s, Node from, Node to) {
  std::set<Node> seen = {from};
  std::vector<Node> open = {from};
  const auto visit = [&](Node n) {
    if (seen.insert(n).second) open.push_back(n);
  };
  while (!open.empty()) {
    const Node n = open.back();
    open.pop_back();
    const Node next{n.rank, n.position + 1};
    if (next.position < static_cast<int>(s.ops[n.rank].size()) && !(n == from && next == to))
      visit(next);
    for (int rank = std::max(n.rank - 1, 0);
         rank <= std::min(n.rank + 1, static_cast<int>(s.ops.size()) - 1); ++rank) {
      for (int i = 0; i < static_cast<int>(s.ops[rank].size()); ++i)
        if (depends(s, n, {rank, i})) visit({rank, i});
    }
    if (seen.count(to) > 0) return true;
  }
  return false;
}

int most_alive(const std::vector<PipelineOp>& ops) {
  int alive = 0;
  int most = 0;
  for (const PipelineOp& op : ops) {
    alive += op.has_forward() ? 1 : 0;
    most = std::max(most, alive);
    alive -= op.has_weight_gradient() ? 1 : 0;
  }
  return most;
}

/// Whether op i became two.
bool split(std::vector<PipelineOp>& ops, int i) {
  const PipelineOp op = ops[i];
  if (op.kind == OpKind::BW) {
    ops[i].kind = OpKind::B;
    ops.insert(ops.begin() + i + 1, {OpKind::W, {}, op.backward});
  } else if (op.kind == OpKind::FB) {
    ops[i] = {OpKind::F, op.forward, {}};
    ops.insert(ops.begin() + i + 1, {OpKind::BW, {}, op.backward});
  } else {
    return false;
  }
  return true;
}

/// Whether ops i and i + 1 became one.
bool join(std::vector<PipelineOp>& ops, int i) {
  const PipelineOp a = ops[i];
  const PipelineOp b = ops[i + 1];
  if (a.kind == OpKind::F && b.kind == OpKind::BW)
    ops[i] = {OpKind::FB, a.forward, b.backward};
  else if (a.kind == OpKind::BW && b.kind == OpKind::F)
    ops[i] = {OpKind::FB, b.forward, a.backward};
  else if (a.kind == OpKind::B && b.kind == OpKind::W && a.backward == b.backward)
    ops[i] = {OpKind::BW, {}, a.backward};
  else
    return false;
  ops.erase(ops.begin() + i + 1);
  return true;
}

}  // namespace

bool may_swap(const PipelineSchedule& s, int rank, int i) {
  if (i + 1 >= static_cast<int>(s.ops[rank].size())) return false;
  const Node a{rank, i};
  const Node b{rank, i + 1};
  for (const Done& x : deeds(s, a))
    for (const Done& y : deeds(s, b))
      if (x.part == y.part && x.stage == y.stage && x.stream == y.stream) return false;
  if (reaches(s, a, b)) return false;
  auto ops = s.ops[rank];
  std::swap(ops[i], ops[i + 1]);
  return most_alive(ops) <= s.slots[rank];
}

int walk(PipelineSchedule& schedule, int changes, std::mt19937& random) {
  int made = 0;
  for (int tries = 0; tries < 50 * changes && made < changes; ++tries) {
    const int rank = static_cast<int>(random() % schedule.ops.size());
    auto& ops = schedule.ops[rank];
    const int i = static_cast<int>(random() % ops.size());
    if (!may_swap(schedule, rank, i)) continue;
    std::swap(ops[i], ops[i + 1]);
    ++made;
  }
  return made;
}

int remake(PipelineSchedule& schedule, int changes, std::mt19937& random) {
  int made = 0;
  for (int tries = 0; tries < 50 * changes && made < changes; ++tries) {
    PipelineSchedule changed = schedule;
    auto& ops = changed.ops[random() % changed.ops.size()];
    const int i = static_cast<int>(random() % (ops.size() - 1));
    if (!(random() % 2 == 0 ? split(ops, i) : join(ops, i)) || prove(changed).fault) continue;
    schedule = changed;
    ++made;
  }
  return made;
}

}  // namespace moray
