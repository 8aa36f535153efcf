#include "options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>

#include "config/nearest.hpp"
#include "core/build_info.hpp"
#include "core/error.hpp"

namespace moray {

namespace {

// The parser of a table. Its options point into an Options object.
std::unique_ptr<CLI::App> make_parser(const std::vector<Command>& table) {
  auto app = std::make_unique<CLI::App>(
      "Trains, runs and inspects DeepSeek-V3-style models.\n"
      "Start: moray train input/quickstart.yaml; every deck key: moray help deck",
      "moray");
  app->allow_extras();
  app->require_subcommand(0, 1);  // in `moray help check` the second word is no subcommand
  const BuildInfo build = build_info();
  app->set_version_flag("--version", fmt::format("moray {} ({})", build.version, build.git_hash),
                        "Print version and git hash");
  for (const Command& command : table) {
    CLI::App* sub = app->add_subcommand(command.name, command.doc);
    sub->allow_extras();
    for (const OptionRow& row : command.rows) {
      CLI::Option* option = std::visit(
          [&](auto* target) -> CLI::Option* {
            if constexpr (std::is_same_v<decltype(target), bool*>) {
              return sub->add_flag(row.name, *target, row.doc);
            } else {
              return sub->add_option(row.name, *target, row.doc)->type_name(row.value);
            }
          },
          row.target);
      if (row.name[0] == '-') option->allow_extra_args(false);
      if (row.required) option->required();
    }
  }
  return app;
}

std::string hint(const std::string& name, const std::vector<std::string>& candidates) {
  const auto near = nearest_name(name, candidates);
  return near ? fmt::format("; did you mean '{}'?", *near) : "";
}

[[noreturn]] void refuse_command(const std::vector<Command>& table, const std::string& name) {
  std::vector<std::string> names = {"--help", "--version"};
  if (name[0] == '-') {
    fail(ExitCode::usage, "unknown option '{}'{} (`moray --help` lists them)", name,
         hint(name, names));
  }
  names.clear();
  for (const Command& command : table) names.push_back(command.name);
  fail(ExitCode::usage, "unknown subcommand '{}'{} (`moray --help` lists them)", name,
       hint(name, names));
}

[[noreturn]] void refuse_argument(const Command& command, const std::string& argument) {
  if (argument.size() < 2 || argument[0] != '-')
    fail(ExitCode::usage, "moray {}: '{}' is one argument too many", command.name, argument);
  std::vector<std::string> names = {"--help"};
  for (const OptionRow& row : command.rows)
    if (row.name[0] == '-') names.push_back(row.name);
  const std::string flag = argument.substr(0, argument.find('='));
  fail(ExitCode::usage, "moray {}: unknown option '{}'{}", command.name, flag, hint(flag, names));
}

const Command* chosen_command(const CLI::App& app, const std::vector<Command>& table) {
  const auto chosen = app.get_subcommands();
  for (const Command& command : table)
    if (!chosen.empty() && command.name == chosen[0]->get_name()) return &command;
  return nullptr;
}

void refuse_leftovers(const CLI::App& app, const Command& command) {
  for (const std::string& left : app.remaining(true))
    if (left != "--") refuse_argument(command, left);
}

}  // namespace

const Command* parse_command_line(int argc, char** argv, const std::vector<Command>& table,
                                  Options& options) {
  std::vector<std::string> arguments;
  for (int i = argc - 1; i > 0; --i) {
    const std::string argument = argv[i];
    if (argument.rfind("--kokkos-", 0) == 0) {
      options.kokkos_arguments.insert(options.kokkos_arguments.begin(), argument);
    } else {
      arguments.push_back(argument);  // the parser takes them last first
    }
  }
  const std::unique_ptr<CLI::App> app = make_parser(table);
  try {
    app->parse(arguments);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app->get_subcommands();
    fmt::print("{}", chosen.empty() ? app->help() : chosen[0]->help("moray"));
    return nullptr;
  } catch (const CLI::CallForVersion& version) {
    fmt::print("{}\n", version.what());
    return nullptr;
  } catch (const CLI::ParseError& error) {
    // What was left over says more than what was missing because of it.
    const Command* command = chosen_command(*app, table);
    if (command == nullptr) fail(ExitCode::usage, "{}", error.what());
    refuse_leftovers(*app, *command);
    fail(ExitCode::usage, "moray {}: {}; see `moray help {}`", command->name, error.what(),
         command->name);
  }
  const Command* command = chosen_command(*app, table);
  if (command == nullptr) {
    if (!app->remaining().empty()) refuse_command(table, app->remaining()[0]);
    fmt::print("{}", app->help());
    return nullptr;
  }
  refuse_leftovers(*app, *command);
  return command;
}

std::string command_help(const std::vector<Command>& table, const std::string& name) {
  const std::unique_ptr<CLI::App> app = make_parser(table);
  if (name.empty()) return app->help();
  for (const Command& command : table)
    if (command.name == name) return app->get_subcommand(name)->help("moray");
  refuse_command(table, name);
}

std::int64_t seconds_of(const std::string& time_limit) {
  std::int64_t total = 0;
  int parts = 0;
  const char* at = time_limit.data();
  const char* end = at + time_limit.size();
  while (parts < 3) {
    std::int64_t part = -1;
    const auto [stop, error] = std::from_chars(at, end, part);
    if (error != std::errc() || part < 0 || part > 100000 || (parts > 0 && part > 59)) break;
    total = total * 60 + part;
    ++parts;
    at = stop;
    if (at == end || *at != ':') break;
    ++at;
  }
  if (parts != 3 || at != end)
    fail(ExitCode::usage, "--time-limit '{}' is not of the form HH:MM:SS", time_limit);
  return total;
}

}  // namespace moray
