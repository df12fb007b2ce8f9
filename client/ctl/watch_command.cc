#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/ctl/command.h"
#include "client/ctl/display.h"
#include "client/ctl/words.h"

namespace credbroker::ctl {
namespace {

class Watch final : public Command {
 public:
  const CommandInfo& info() const override {
    static constexpr CommandInfo kInfo = {
        "watch", "Stream credentials as they change",
        "One line an event, until interrupted; with -o json one object a line. A watch that is "
        "cut\n"
        "prints the cursor to go on with.",
        "watch\n"
        "watch --filter 'provider = claude' --transitions\n"
        "watch --initial -o json | jq -c '[.event, .credential.id]'"};
    return kInfo;
  }

  void AddFlags(FlagSet& flags) override {
    flags.Text("--filter", "FILTER", &filter_, "as in list");
    flags.Text("--group", "NAME", &group_, "only this group");
    flags.Switch("--initial", &initial_, "begin with all that match");
    flags.Switch("--transitions", &transitions_, "only changes of state");
    flags.Text("--cursor", "CURSOR", &cursor_, "go on after this one");
    flags.Number("--max-events", &max_events_, 1, 1'000'000'000, "end after so many events");
  }

  absl::Status Run(Context& context) override {
    if (initial_ && !cursor_.empty()) {
      return absl::InvalidArgumentError("--cursor: does not go with --initial");
    }
    v1::WatchCredentialsRequest request;
    request.set_filter(filter_);
    request.set_group(group_);
    request.set_send_initial(initial_);
    request.set_transitions_only(transitions_);
    request.set_cursor(cursor_);
    grpc::ClientContext call;
    context.Prepare(call, absl::InfiniteDuration());
    auto reader = context.admin().WatchCredentials(&call, request);
    v1::WatchCredentialsResponse event;
    int64_t events = 0;
    while (reader->Read(&event)) {
      if (!event.cursor().empty()) cursor_ = event.cursor();
      if (context.json()) {
        context.PrintJsonLine(event);
      } else {
        Print(context, event);
      }
      if (event.event() != v1::WATCH_EVENT_HEARTBEAT && max_events_ == ++events) {
        call.TryCancel();
        (void)reader->Finish();
        return absl::OkStatus();
      }
    }
    const absl::Status status = context.Finish(reader->Finish());
    if (!status.ok() && !cursor_.empty()) {
      context.err() << "go on with --cursor " << Printable(cursor_) << '\n';
    }
    return status;
  }

 private:
  static void Print(Context& context, const v1::WatchCredentialsResponse& event) {
    if (event.event() == v1::WATCH_EVENT_HEARTBEAT) return;
    const v1::CredentialStatus& status = event.credential().status();
    std::string line =
        absl::StrCat(absl::FormatTime("%H:%M:%S", ToTime(event.time()), absl::UTCTimeZone()), "  ",
                     Word(event.event()));
    if (event.has_credential()) {
      absl::StrAppend(&line, "  ", Printable(event.credential().id()), "  ");
      const v1::Transition& change = event.transition();
      if (event.has_transition() && change.from() != v1::CREDENTIAL_STATE_UNSPECIFIED) {
        absl::StrAppend(&line, Word(change.from()), " -> ");
      }
      const Cell state = StateCell(status);
      absl::StrAppend(&line, Paint(Printable(state.text), state.color, context.style()));
      if (status.cause() != v1::CAUSE_UNSPECIFIED)
        absl::StrAppend(&line, ", ", Word(status.cause()));
      if (status.has_next_recover_time()) {
        absl::StrAppend(&line, ", recovers ",
                        Relative(ToTime(status.next_recover_time()), context.now()));
      }
      if (event.has_transition()) absl::StrAppend(&line, "  (", Word(change.why()), ")");
      if (!change.model().empty()) absl::StrAppend(&line, " model ", Printable(change.model()));
      if (!change.actor().empty()) absl::StrAppend(&line, " by ", Printable(change.actor()));
    }
    context.out() << line << '\n' << std::flush;
  }

  std::string filter_;
  std::string group_;
  bool initial_ = false;
  bool transitions_ = false;
  std::string cursor_;
  std::optional<int64_t> max_events_;
};

}  // namespace

std::unique_ptr<Command> NewWatch() { return std::make_unique<Watch>(); }

}  // namespace credbroker::ctl
