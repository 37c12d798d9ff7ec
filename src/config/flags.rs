//! The flags of the main job: the top layer of the configuration. The environment layer below has the same shape.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::releases::Releases;
use super::values::{Hours, IoNice, Minutes, Seconds, Size};
use super::{ColorChoice, Keep};
use crate::git::GitTransport;

/// What can be typed for the main job; `None`, empty and `false` mean "not typed".
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct MirrorArgs {
    /// Where to read from: github, gitlab, gitea (also codeberg, forgejo), dir, urls, or the id of a source in the
    /// configuration file; several are separated by commas [default: the file's sources, else github]
    #[arg(long, value_name = "SOURCE", value_delimiter = ',', help_heading = "What to mirror")]
    pub source: Vec<String>,

    /// Users, organisations or groups to list instead of everything the token can see; works without a token for
    /// public repositories (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "What to mirror")]
    pub owner: Vec<String>,

    /// Mirror only repositories whose `namespace/name` matches (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "What to mirror")]
    pub include: Vec<String>,

    /// Leave out repositories whose `namespace/name` matches; wins over --include (repeatable)
    #[arg(long, value_name = "GLOB", help_heading = "What to mirror")]
    pub exclude: Vec<String>,

    /// Mirror the git repositories found under this directory; implies --source dir (repeatable) [default: .]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath, help_heading = "What to mirror")]
    pub dir: Vec<PathBuf>,

    /// Mirror the repository at this URL; implies --source urls (repeatable)
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "What to mirror")]
    pub url: Vec<String>,

    /// Mirror the repositories of a file with one URL per line, `#` begins a comment; implies --source urls
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "What to mirror")]
    pub urls_file: Option<PathBuf>,

    /// Keep the mirrors on this machine only; the same as --destination local
    #[arg(long, help_heading = "Where to")]
    pub backup_only: bool,

    /// Where to push: github, gitlab, gitea (also codeberg, forgejo), local, or the id of a destination in the
    /// configuration file; several are separated by commas [default: the file's destinations; gitlab when there is no
    /// file that names sources or destinations]
    #[arg(long, value_name = "DESTINATION", value_delimiter = ',', help_heading = "Where to")]
    pub destination: Vec<String>,

    /// The user, organisation or group that --destination KIND pushes to; `{namespace}` and `{name}` in it are the
    /// source's [default: the token's own user]
    #[arg(long, value_name = "NAMESPACE", help_heading = "Where to")]
    pub destination_namespace: Option<String>,

    /// The directory that holds the mirrors [default: ./mirror-data]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Where to")]
    pub storage: Option<PathBuf>,

    /// Keep a browsable working tree beside each mirror
    #[arg(long, help_heading = "Where to")]
    pub checkout: bool,

    /// Releases too, with their files: beside each mirror on this machine, or at each destination that says nothing
    /// else: off, all or latest [default: off; `--releases` alone is all]
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    #[arg(help_heading = "Where to")]
    pub releases: Option<Releases>,

    /// How much of releases' files may lie here at a time on its way to a destination [default: 4GiB]
    #[arg(long, value_name = "SIZE", help_heading = "How")]
    pub asset_tmp_max: Option<Size>,

    /// The user or group that --destination gitlab pushes to; it wins over --destination-namespace
    #[arg(long, value_name = "NAMESPACE", help_heading = "Where to")]
    pub gitlab_namespace: Option<String>,

    /// Go on for ever, cycle after cycle
    #[arg(long, help_heading = "When")]
    pub watch: bool,

    /// How long to rest between two cycles, in seconds or as `10m` [default: 60]
    #[arg(long, value_name = "SEC", help_heading = "When")]
    pub interval: Option<Seconds>,

    /// How long after a push its repository is looked at again although nothing new is listed, in minutes or as `2h`
    /// [default: 60]
    #[arg(long, value_name = "MIN", help_heading = "When")]
    pub window: Option<Minutes>,

    /// Compare the refs of every repository at least this often, in hours or as `90m` [default: 24]
    #[arg(long, value_name = "HOURS", help_heading = "When")]
    pub full_every: Option<Hours>,

    /// How long a mirror may be without a success before `status` calls it late, in hours or as `2d` [default: 48, or
    /// twice --full-every where that is longer]
    #[arg(long, value_name = "HOURS", help_heading = "When")]
    pub stale_after: Option<Hours>,

    /// Compare the refs of every repository in this run
    #[arg(long, help_heading = "When")]
    pub full: bool,

    /// Wait for another run on the same storage instead of giving up
    #[arg(long, help_heading = "When")]
    pub wait: bool,

    /// Print what would happen; write nothing
    #[arg(long, help_heading = "How")]
    pub dry_run: bool,

    /// Mirrors worked on at the same time [default: 5]
    #[arg(long, value_name = "N", help_heading = "How")]
    pub concurrency: Option<u32>,

    /// Mirrors of one host worked on, and requests to its API, at the same time; it halves by itself while the host asks
    /// for less [default: as many as --concurrency]
    #[arg(long, value_name = "N", help_heading = "How")]
    pub per_host: Option<u32>,

    /// Requests to the API of one host in a second, such as 10 or 0.5 [default: no limit]
    #[arg(long, value_name = "N", help_heading = "How")]
    pub requests_per_second: Option<f64>,

    /// Bytes in a second that Holocron moves over the network, such as 2MiB; what git moves by itself (ssh, --transport git) is
    /// not bounded [default: no limit]
    #[arg(long, value_name = "SIZE", help_heading = "How")]
    pub bytes_per_second: Option<Size>,

    /// How much memory all gits at work may take together, such as 512MiB, as far as git can be told [default: git's own
    /// limits]
    #[arg(long, value_name = "SIZE", help_heading = "How")]
    pub memory: Option<Size>,

    /// The CPU priority of Holocron and its gits, 0 to 19; the higher, the more it stands back [default: as started]
    #[arg(long, value_name = "N", help_heading = "How")]
    pub nice: Option<u8>,

    /// The disk priority of Holocron and its gits, on Linux [default: as started]
    #[arg(long, value_name = "CLASS", help_heading = "How")]
    pub ionice: Option<IoNice>,

    /// How long git or a server may be silent, in seconds or as `5m` [default: 300]
    #[arg(long, value_name = "SEC", help_heading = "How")]
    pub timeout: Option<Seconds>,

    /// How long old tips of deleted and force-moved refs stay: days, `forever`, or `0` for not at all [default: 90]
    #[arg(long, value_name = "DAYS", help_heading = "How")]
    pub keep: Option<Keep>,

    /// Believe the mass deletion in repositories whose `namespace/name` matches; others stay held (repeatable)
    #[arg(long, value_name = "REPO", help_heading = "How")]
    pub accept_deletions: Vec<String>,

    /// Who looks at refs, fetches and pushes over HTTP: auto is Holocron itself where it can, git is always git
    /// [default: auto]
    #[arg(long, value_name = "WHO", help_heading = "How")]
    pub transport: Option<GitTransport>,

    /// The configuration file [default: ./holocron.yaml, else ~/.config/holocron/holocron.yaml, else none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "How")]
    pub config: Option<PathBuf>,

    /// Print one JSON document on stdout instead of the table
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Write the JSON document to this file as well
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub report: Option<PathBuf>,

    /// No progress, only the report
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,

    /// Say more about each step; twice (`-vv`): the log too
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,

    /// When to use colour [default: auto]
    #[arg(long, value_name = "WHEN", help_heading = "Output")]
    pub color: Option<ColorChoice>,

    /// Show who made Holocron, and exit
    #[arg(long, help_heading = "Output")]
    pub credits: bool,
}

/// The environment variable of a flag: `full-every` is `HOLOCRON_FULL_EVERY`.
pub(crate) fn variable(flag: &str) -> String {
    format!("HOLOCRON_{}", flag.to_ascii_uppercase().replace('-', "_"))
}
