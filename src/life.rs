//! A VM's life after its creation, in one place: what may be done in which state, what the VM is asked to do first, and how
//! long it may live, be silent or stand still. Decisions only: `api::lifecycle` and the reaper call the providers.

use crate::model::{Phase, Vm, VmState, expires_secs};
use crate::workspace::{Market, Profile};

/// What a user does with a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the actions of the API")]
pub enum Action {
    Start,
    Stop,
    Extend,
    Open,
    Snapshot,
    Delete,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Stop, Self::Extend, Self::Open, Self::Snapshot, Self::Delete];

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Extend => "extend",
            Self::Open => "open",
            Self::Snapshot => "snapshot",
            Self::Delete => "delete",
        }
    }

    /// Whether it makes sense now.
    pub fn is_allowed(self, vm: &Vm<'_>) -> bool {
        let is_leaving = vm.state == VmState::Deleting;
        // What was asked of a VM that stands still by now is done, or too late.
        let is_asked = vm.state != VmState::Stopped
            && matches!(Want::of(vm), Some(Want::Stop { .. } | Want::Snapshot { .. }));
        match self {
            Self::Delete => true,
            Self::Start => vm.state == VmState::Stopped,
            // Asked twice it is asked once.
            Self::Stop => {
                vm.state == VmState::Running
                    && vm.market != Market::Spot
                    && !matches!(Want::of(vm), Some(Want::Snapshot { .. }))
            }
            Self::Snapshot => matches!(vm.state, VmState::Running | VmState::Stopped) && !is_asked,
            Self::Extend => !is_leaving && !is_asked,
            // Nobody works, or types a secret, where the disk is for everybody.
            Self::Open => !is_leaving && vm.state != VmState::Stopped && !vm.labels.golden,
        }
    }

    /// Everything that may be done now, for an answer that says what would be possible.
    pub fn allowed(vm: &Vm<'_>) -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|it| it.is_allowed(vm)).map(Self::as_str).collect()
    }
}

/// What the Worker asks of a VM: the value of the label `mayfly-want`. The times are Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// To save its work, and say so; then it is stopped. Without a word by the deadline it is stopped all the same.
    Stop {
        /// When patience ends.
        deadline: u64,
    },
    /// To flush its disk and scrub its secrets, and say so; then its disk is stored. Likewise.
    Snapshot {
        /// When patience ends.
        deadline: u64,
    },
    /// Not to end for idleness before this time.
    Keep {
        /// Until when.
        until: u64,
    },
    /// To go on while it is idle, until this time: the hour is paid. Never a label: it follows from the clock.
    Wait {
        /// Until when.
        until: u64,
    },
}

impl Want {
    /// How long a VM may take to save its work, seconds: two heartbeats and the work itself.
    pub const PATIENCE_SECS: u64 = 600;

    /// What is asked of a VM now.
    pub fn of(vm: &Vm<'_>) -> Option<Self> {
        Self::parse(&vm.labels.want)
    }

    /// Reads the label's value.
    pub fn parse(value: &str) -> Option<Self> {
        let (word, secs) = value.split_once('-')?;
        let secs = secs.parse().ok()?;
        match word {
            "stop" => Some(Self::Stop { deadline: secs }),
            "snapshot" => Some(Self::Snapshot { deadline: secs }),
            "keep" => Some(Self::Keep { until: secs }),
            _ => None,
        }
    }

    /// The label's value.
    pub fn pack(self) -> String {
        match self {
            Self::Stop { deadline } => format!("stop-{deadline}"),
            Self::Snapshot { deadline } => format!("snapshot-{deadline}"),
            Self::Keep { until } => format!("keep-{until}"),
            Self::Wait { until } => format!("wait-{until}"),
        }
    }

    /// Whether its time is over, so that there is nothing to tell.
    pub fn is_past(self, now_secs: u64) -> bool {
        matches!(self, Self::Keep { until } if until <= now_secs)
    }

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop { .. } => "stop",
            Self::Snapshot { .. } => "snapshot",
            Self::Keep { .. } => "keep",
            Self::Wait { .. } => "wait",
        }
    }

    /// What the VM is told: the deadline is not its business.
    pub fn for_vm(self) -> String {
        match self {
            Self::Stop { .. } => "stop".into(),
            Self::Snapshot { .. } => "snapshot".into(),
            Self::Keep { .. } | Self::Wait { .. } => self.pack(),
        }
    }
}

/// How long a profile's VMs may live without a person's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A boot that has not come to an end by then never will, seconds. The boot's own limit on the VM is two hours.
    pub boot_secs: u64,
    /// Silence on top of the idle limit, seconds: two hours, and twice the longest pause between heartbeats.
    pub silence_secs: u64,
    /// A VM that is missed for the first time is only marked; it goes if it is still silent this much later, seconds. So a
    /// Worker that was away itself hears its VMs before it judges them.
    pub second_look_secs: u64,
}

/// The rules of a profile.
pub fn rules(profile: Profile) -> Rules {
    match profile {
        Profile::Coding => {
            Rules { boot_secs: 3 * 3600, silence_secs: 2 * 3600 + 2 * 900, second_look_secs: 20 * 60 }
        }
    }
}

/// What the labels say about a VM's present run: how long a start may last, and when it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Hours that it was created for, and that a start gives it again.
    pub hours: Option<u32>,
    /// Its last start, Unix seconds; none for the first.
    pub started_secs: Option<u64>,
}

impl Run {
    /// Reads the label's value: `12` or `12.1795168800`.
    pub fn parse(value: &str) -> Self {
        let (hours, started) = value.split_once('.').unwrap_or((value, ""));
        Self { hours: hours.parse().ok(), started_secs: started.parse().ok() }
    }

    /// The label's value.
    pub fn pack(self) -> String {
        let hours = self.hours.unwrap_or_default();
        self.started_secs.map_or_else(|| hours.to_string(), |it| format!("{hours}.{it}"))
    }
}

/// When the present run of a VM began, Unix seconds.
pub fn began_secs(vm: &Vm<'_>) -> u64 {
    vm.created_secs.max(Run::parse(&vm.labels.run).started_secs.unwrap_or_default())
}

/// Why a VM should go, or what should be done with it, as its labels and the clock have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It lives.
    Lives,
    /// Past its hard end, or, stopped, past its date.
    Expired,
    /// Its boot never came to an end.
    NeverReady,
    /// It has not been heard of; mark it, and look again.
    Missed,
    /// It was missed, and is given the time until the second look.
    Waiting,
    /// It was missed before, and has not been heard of since.
    Silent,
    /// It was asked to stop and has had its time.
    StopNow,
    /// It was asked to stop, was told to shut down, and still runs.
    CutNow,
    /// It was asked to prepare its disk and has had its time: the snapshot is taken, if it is not there yet, as the disk is.
    SnapshotNow {
        /// When its time was up.
        deadline: u64,
    },
}

/// Judges one VM. What most VMs do together says something about the path to them and not about one: that is the caller's
/// to see.
pub fn judge(vm: &Vm<'_>, default_idle_minutes: u32, now_secs: u64) -> Verdict {
    if vm.state == VmState::Deleting {
        return Verdict::Lives;
    }
    if expires_secs(vm) <= now_secs {
        return Verdict::Expired;
    }
    let rules = rules(Profile::parse(&vm.labels.profile).unwrap_or(Profile::Coding));
    let began = began_secs(vm);
    // One that said that it ends, and lives on, has booted all the same.
    let is_up = matches!(vm.labels.phase, Phase::Ready | Phase::Failed | Phase::Stopping);
    let is_late = !is_up && now_secs >= began.saturating_add(rules.boot_secs);
    match vm.state {
        VmState::Running => {}
        // The provider itself did not bring it up.
        VmState::Creating | VmState::Unknown if is_late => return Verdict::NeverReady,
        // What does not run cannot speak; it has a date of its own.
        _ => return Verdict::Lives,
    }
    if let Some(Want::Stop { deadline }) = Want::of(vm) {
        let is_cut = now_secs >= deadline.saturating_add(Want::PATIENCE_SECS);
        // `stopping` is the VM's word that its work is saved.
        let is_due = now_secs >= deadline || vm.labels.phase == Phase::Stopping;
        return match (is_cut, is_due) {
            (true, _) => Verdict::CutNow,
            (_, true) => Verdict::StopNow,
            _ => Verdict::Lives,
        };
    }
    if let Some(Want::Snapshot { deadline }) = Want::of(vm) {
        return if now_secs >= deadline { Verdict::SnapshotNow { deadline } } else { Verdict::Lives };
    }
    let idle = u64::from(vm.labels.idle_minutes.unwrap_or(default_idle_minutes)) * 60;
    let heard = vm.labels.seen_secs.unwrap_or(began).max(began);
    // A boot that speaks and does not end is the VM's own fault; one that does not speak may be the path's.
    if is_late && now_secs < heard.saturating_add(rules.silence_secs) {
        return Verdict::NeverReady;
    }
    if !is_late && now_secs < heard.saturating_add(idle + rules.silence_secs) {
        return Verdict::Lives;
    }
    match vm.labels.missed_secs {
        Some(missed) if missed > heard && now_secs >= missed.saturating_add(rules.second_look_secs) => {
            Verdict::Silent
        }
        Some(missed) if missed > heard => Verdict::Waiting,
        _ => Verdict::Missed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::VmLabels;
    use crate::model::{ProviderName, VmId};

    const NOW: u64 = 1_795_168_800;
    const HOUR: u64 = 3600;

    fn vm(state: VmState, change: impl FnOnce(&mut VmLabels<'static>)) -> Vm<'static> {
        let mut labels = VmLabels {
            phase: Phase::Ready,
            idle_minutes: Some(30),
            expires_secs: Some(NOW + HOUR),
            seen_secs: Some(NOW - 60),
            profile: "coding".into(),
            ..VmLabels::default()
        };
        change(&mut labels);
        Vm {
            id: VmId { provider: ProviderName::Hetzner, native: "1".into() },
            name: "a".into(),
            state,
            created_secs: NOW - 5 * HOUR,
            ipv4: None,
            ipv6: None,
            location: "fsn1".into(),
            server_type: "cx23".into(),
            market: Market::OnDemand,
            labels,
        }
    }

    fn verdict(state: VmState, change: impl FnOnce(&mut VmLabels<'static>)) -> Verdict {
        judge(&vm(state, change), 30, NOW)
    }

    #[test]
    fn the_table_of_what_is_allowed() {
        use VmState::{Creating, Deleting, Running, Stopped, Stopping, Unknown};
        let table: [(VmState, &str, &str); 9] = [
            (Creating, "", "extend open delete"),
            (Running, "", "stop extend open snapshot delete"),
            (Running, "keep-1795169999", "stop extend open snapshot delete"),
            (Running, "stop-1795169999", "stop open delete"),
            (Running, "snapshot-1795169999", "open delete"),
            (Stopping, "", "extend open delete"),
            (Stopped, "", "start extend snapshot delete"),
            (Deleting, "", "delete"),
            (Unknown, "", "extend open delete"),
        ];
        for (state, want, allowed) in table {
            let vm = vm(state, |it| it.want = want.into());
            assert_eq!(Action::allowed(&vm).join(" "), allowed, "{state:?} {want}");
        }
    }

    #[test]
    fn wants_survive_their_label() {
        for want in [Want::Stop { deadline: 1 }, Want::Snapshot { deadline: 2 }, Want::Keep { until: 3 }] {
            assert!(crate::labels::is_value(&want.pack()));
            assert_eq!(Want::parse(&want.pack()), Some(want));
        }
        for rubbish in ["", "stop", "stop-", "stop-x", "go-1", "keep--1"] {
            assert_eq!(Want::parse(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn runs_survive_their_label() {
        for run in
            [Run { hours: Some(12), started_secs: None }, Run { hours: Some(168), started_secs: Some(NOW) }]
        {
            assert!(crate::labels::is_value(&run.pack()));
            assert_eq!(Run::parse(&run.pack()), run);
        }
        assert_eq!(Run::parse("rubbish"), Run::default());
    }

    #[test]
    fn the_expiry_holds_whatever_the_state() {
        for state in [VmState::Running, VmState::Stopped, VmState::Creating, VmState::Unknown] {
            assert_eq!(verdict(state, |it| it.expires_secs = Some(NOW)), Verdict::Expired, "{state:?}");
        }
        assert_eq!(verdict(VmState::Deleting, |it| it.expires_secs = Some(1)), Verdict::Lives);
    }

    #[test]
    fn a_silent_vm_is_missed_first_and_goes_only_when_it_stays_silent() {
        let long_ago = Some(NOW - 4 * HOUR);
        assert_eq!(verdict(VmState::Running, |_| ()), Verdict::Lives);
        assert_eq!(verdict(VmState::Running, |it| it.seen_secs = long_ago), Verdict::Missed);
        let missed = |ago: u64| {
            verdict(VmState::Running, |it| {
                it.seen_secs = long_ago;
                it.missed_secs = Some(NOW - ago);
            })
        };
        assert_eq!(missed(19 * 60), Verdict::Waiting);
        assert_eq!(missed(20 * 60), Verdict::Silent);
        // It was missed once, came back, and fell silent again: that counts anew.
        assert_eq!(missed(4 * HOUR + 60), Verdict::Missed);
    }

    #[test]
    fn a_longer_idle_limit_is_a_longer_silence() {
        let after = |minutes| {
            verdict(VmState::Running, |it| {
                it.seen_secs = Some(NOW - 4 * HOUR);
                it.idle_minutes = Some(minutes);
            })
        };
        assert_eq!(after(89), Verdict::Missed);
        assert_eq!(after(91), Verdict::Lives);
    }

    #[test]
    fn one_that_was_about_to_end_and_is_heard_lives() {
        let stopping = |seen_secs| {
            verdict(VmState::Running, |it| {
                it.phase = Phase::Stopping;
                it.seen_secs = Some(seen_secs);
            })
        };
        assert_eq!(stopping(NOW - 60), Verdict::Lives);
        assert_eq!(stopping(NOW - 4 * HOUR), Verdict::Missed);
    }

    #[test]
    fn what_is_stopped_is_neither_silent_nor_late() {
        let stopped = verdict(VmState::Stopped, |it| {
            it.seen_secs = Some(1);
            it.phase = Phase::Booting;
        });
        assert_eq!(stopped, Verdict::Lives);
    }

    #[test]
    fn a_boot_has_its_time_from_creation_or_from_the_last_start() {
        let booting = |run: &'static str| {
            verdict(VmState::Running, |it| {
                it.phase = Phase::Clone;
                it.run = run.into();
            })
        };
        assert_eq!(booting("12"), Verdict::NeverReady);
        assert_eq!(booting("12.1795161600"), Verdict::Lives, "started two hours ago");
        let failed = verdict(VmState::Running, |it| it.phase = Phase::Failed);
        assert_eq!(failed, Verdict::Lives, "it is there to be looked at until it is idle");
    }

    #[test]
    fn a_vm_that_was_asked_to_stop_is_stopped_when_it_says_so_or_is_late() {
        let asked = |deadline: u64, phase| {
            verdict(VmState::Running, |it| {
                it.want = Want::Stop { deadline }.pack().into();
                it.phase = phase;
                it.seen_secs = Some(1);
            })
        };
        assert_eq!(asked(NOW + 60, Phase::Ready), Verdict::Lives, "not silent, but asked");
        assert_eq!(asked(NOW + 60, Phase::Stopping), Verdict::StopNow);
        assert_eq!(asked(NOW, Phase::Ready), Verdict::StopNow);
        assert_eq!(asked(NOW - 600, Phase::Ready), Verdict::CutNow);
    }
}
