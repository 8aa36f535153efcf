#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "config/reader.hpp"
#include "config/reference.hpp"
#include "config/resolved.hpp"
#include "config/section.hpp"
#include "core/error.hpp"

using namespace moray;

namespace {

struct Pump {
  std::int64_t blades = 3;
  double speed = 1.5;
  std::string metal = "steel";
  std::vector<std::string> names = {"a"};
};
struct Valve {
  std::string label;
};
struct Engine {
  Pump pump;
  std::vector<Valve> valves;
  bool hot = false;
};

void declare(Section& section, Valve& valve) {
  section.key("label", valve.label, "What is written on it.").required();
}

Section declare_engine(Engine& engine) {
  Section root("", "", Resume::fixed);
  Section& pump = root.section("pump", "Moves the water.", Resume::fixed);
  pump.key("blades", engine.pump.blades, "Blades of the wheel.").at_least(2).at_most(9);
  pump.key("speed", engine.pump.speed, "How fast it turns.")
      .above(0)
      .unit("m/s")
      .free()
      .source("the maker");
  pump.key("metal", engine.pump.metal, "What it is made of.").one_of({"steel", "brass"});
  pump.key("names", engine.pump.names, "What it is called.");
  Section& body = root.section("body", "The rest.", Resume::free);
  body.key("hot", engine.hot, "Whether it burns.");
  body.list("valves", "All valves.", engine.valves);
  body.rule({"pump.metal", "body.hot"}, "a hot body has a pump of brass",
            [&] { return !engine.hot || engine.pump.metal == "brass"; });
  return root;
}

}  // namespace

TEST_CASE("the reference comes from the declarations", "[keys]") {
  Engine engine;
  Section root = declare_engine(engine);
  CHECK(deck_reference(root, "pump") ==
        "## pump\n\nMoves the water.\n\n"
        "- `blades`: integer >= 2 and <= 9, default 3; fixed\n  Blades of the wheel.\n"
        "- `speed`: number > 0, in m/s, default 1.5; free\n  How fast it turns.\n"
        "  Default from: the maker.\n"
        "- `metal`: one of steel, brass, default \"steel\"; fixed\n  What it is made of.\n"
        "- `names`: list of text, default [\"a\"]; fixed\n  What it is called.\n");
  CHECK(deck_reference(root, "body") ==
        "## body\n\nThe rest.\n\n"
        "- `hot`: true or false, default false; free\n  Whether it burns.\n"
        "- `valves`: list of maps\n  All valves. Each entry has:\n"
        "  - `label`: text, required; free\n    What is written on it.\n"
        "\nRules:\n\n- a hot body has a pump of brass\n");
  CHECK_THROWS_WITH(deck_reference(root, "bdy"),
                    "a deck has no section 'bdy'; did you mean 'body'?");
}

TEST_CASE("keys fill the struct that they are bound to", "[keys]") {
  Engine engine;
  Section root = declare_engine(engine);
  Problems problems;
  const Node tree = parse_yaml(
      "pump: {blades: 4e0, names: one}\nbody: {hot: true, valves: [{label: x}, {label: 7}]}\n",
      problems);
  read_sections(root, tree, ".", problems);
  REQUIRE(problems.empty());
  CHECK(engine.pump.blades == 4);
  CHECK(engine.pump.speed == 1.5);
  CHECK(engine.pump.names == std::vector<std::string>{"one"});
  CHECK(engine.hot);
  REQUIRE(engine.valves.size() == 2);
  CHECK(engine.valves[1].label == "7");

  check_rules(root, problems);
  REQUIRE(problems.sorted().size() == 1);
  CHECK(problems.report("d") ==
        "d:2:13: a hot body has a pump of brass (pump.metal = \"steel\" by default, body.hot = "
        "true)\n"
        "1 error. Nothing was started.");
  CHECK(resolved_deck(root, "d") ==
        "# d, resolved: every key with its value and where that comes from.\n"
        "pump:\n"
        "  blades: 4                               # d:1:16\n"
        "  speed: 1.5                              # default\n"
        "  metal: \"steel\"                          # default\n"
        "  names: [\"one\"]                          # d:1:28\n"
        "body:\n"
        "  hot: true                               # d:2:13\n"
        "  valves:\n"
        "    - label: \"x\"                          # d:2:36\n"
        "    - label: \"7\"                          # d:2:48\n");
}

TEST_CASE("auto is another spelling of the 0 that leaves a choice to the program", "[keys]") {
  const auto read = [](std::int64_t& wheels, const std::string& value) {
    Section root("", "", Resume::fixed);
    Section& cart = root.section("cart", "Is pulled.", Resume::fixed);
    std::int64_t loads = 1;
    cart.key("wheels", wheels, "On the ground.").at_least(0).automatic();
    cart.key("loads", loads, "On top.").at_least(0);
    Problems problems;
    read_sections(root, parse_yaml("cart: {" + value + "}\n", problems), ".", problems);
    return problems.empty() ? root.find("cart.wheels")->text() : problems.report("d");
  };
  for (const char* value : {"wheels: auto", "wheels: 0"}) {
    std::int64_t wheels = 4;
    CHECK(read(wheels, value) == "auto");
    CHECK(wheels == 0);
  }
  std::int64_t wheels = 0;
  CHECK(read(wheels, "wheels: 4") == "4");
  CHECK(wheels == 4);
  CHECK(read(wheels, "loads: auto").find("cart.loads = 'auto' is not an integer") !=
        std::string::npos);
  CHECK(read(wheels, "wheels: aut").find("cart.wheels = 'aut' is not an integer") !=
        std::string::npos);

  Section root("", "", Resume::fixed);
  wheels = 0;
  CHECK(root.key("wheels", wheels, "").at_least(0).automatic().signature() ==
        "integer >= 0 or auto, default auto");
}

TEST_CASE("only fixed keys stand against a resume", "[keys]") {
  Engine a, b;
  Section then = declare_engine(a);
  Section now = declare_engine(b);
  b.pump.speed = 7;
  b.hot = true;
  CHECK(fixed_changes(then, now).empty());
  b.pump.blades = 5;
  const auto changes = fixed_changes(then, now);
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].key == "pump.blades");
  CHECK(changes[0].then == "3");
  CHECK(changes[0].now == "5");
}
