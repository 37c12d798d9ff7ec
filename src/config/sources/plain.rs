//! A source without an API: its directories, or its URLs and the list they stand in.

use std::path::{Path, PathBuf};

use crate::base::secret::SecretSource;
use crate::base::url::RemoteUrl;
use crate::config::absolute;
use crate::config::entry::Checker;
use crate::config::layers::SetBy;
use crate::config::problem::Problem;
use crate::config::raw::RawSource;
use crate::config::tree::Step;

impl Checker<'_, '_, RawSource> {
    pub fn dirs(&mut self) -> Vec<PathBuf> {
        let (flags, env) = (self.layers.flags, &self.layers.environment.args);
        let here = self.layers.env.directory().to_owned();
        let typed = !flags.dir.is_empty() || !env.dir.is_empty();
        let own = self.draft.raw.dirs.clone();
        let dirs = self.list("dirs", "dir", [&flags.dir, &env.dir], own).unwrap_or_else(|| vec![PathBuf::from(".")]);
        if dirs.is_empty() {
            self.problem("dirs", "`dirs` is empty", "name at least one directory");
        }
        let base = if typed { &here } else { &self.base };
        dirs.iter().map(|dir| absolute(dir, base, self.layers.env)).collect()
    }

    /// The URLs of `--url` and `--urls-file` when either is typed, else those of the source itself.
    pub fn urls(&mut self) -> Vec<RemoteUrl> {
        let (flags, env) = (self.layers.flags, &self.layers.environment.args);
        let typed = [("--", flags), ("HOLOCRON_", env)]
            .into_iter()
            .find(|(_, args)| !args.url.is_empty() || args.urls_file.is_some());
        // Each URL with the place to name when it is wrong.
        let mut texts: Vec<(String, String)> = Vec::new();
        let listed = match typed {
            Some((prefix, args)) => {
                let name = |flag: &str| match prefix {
                    "--" => SetBy::Flag(format!("--{flag}")),
                    _ => self.layers.set_by_variable(&crate::config::variable(flag)),
                };
                let set_by = name(if args.url.is_empty() { "urls-file" } else { "url" });
                texts.extend(args.url.iter().map(|url| (set_by.to_string(), url.clone())));
                self.origin("urls", set_by);
                args.urls_file.as_ref().map(|path| absolute(path, self.layers.env.directory(), self.layers.env))
            }
            None => {
                let raw = self.draft.raw.clone();
                for (index, url) in self.value("urls", raw.urls).into_iter().flatten().enumerate() {
                    let path: Option<Vec<Step>> =
                        self.in_file("urls").map(|path| [path, vec![Step::Item(index)]].concat());
                    let place = self.layers.file.zip(path).map(|(file, path)| file.place(&path));
                    texts.push((place.unwrap_or_default(), url));
                }
                self.value("urls_file", raw.urls_file).map(|path| self.absolute(&path))
            }
        };
        if let Some(path) = listed {
            texts.extend(self.read_list(&path));
        } else if texts.is_empty() {
            self.problem(
                "urls",
                "no URL is given",
                "name repositories with `urls` or `urls_file` (`--url`, `--urls-file`)",
            );
        }
        self.parse_urls(texts)
    }

    fn read_list(&mut self, path: &Path) -> Vec<(String, String)> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let problem = Problem::new(path.display(), format!("the list of URLs cannot be read: {error}"));
                self.layers.problems.push(problem);
                return Vec::new();
            }
        };
        // Editors on Windows begin a file with a mark of its encoding.
        let text = text.trim_start_matches('\u{feff}');
        let lines = text.lines().enumerate().map(|(index, line)| {
            // A `#` within a URL is a part of it; a comment begins a line or follows a space.
            let url = line.split(" #").next().unwrap_or_default().trim();
            (format!("{}:{}", path.display(), index + 1), url.to_owned())
        });
        lines.filter(|(_, url)| !url.is_empty() && !url.starts_with('#')).collect()
    }

    fn parse_urls(&mut self, texts: Vec<(String, String)>) -> Vec<RemoteUrl> {
        let mut urls: Vec<(String, RemoteUrl)> = Vec::new();
        for (place, text) in texts {
            let problem = match RemoteUrl::parse_with_secret(&text) {
                Ok((_, Some(_))) => Problem::new(&place, "a URL has a password or token in it")
                    .hint("take it out, and say where the token is read from with `token` of a source of kind `urls`"),
                Ok((url, None)) => match urls.iter().find(|(_, known)| same_place(known, &url)) {
                    Some((first, _)) => Problem::new(&place, format!("`{url}` is listed twice"))
                        .hint(format!("both would lie in one place; the first is at {first}")),
                    None => {
                        urls.push((place, url));
                        continue;
                    }
                },
                Err(error) => Problem::new(&place, format!("`{text}` cannot be mirrored: {error}"))
                    .hint("write https://host/path, ssh://host/path, user@host:path or an absolute path"),
            };
            self.layers.problems.push(problem);
        }
        urls.into_iter().map(|(_, url)| url).collect()
    }

    /// The URLs of one source may lie on several hosts, a token on one only.
    pub fn one_host(&mut self, token: Option<SecretSource>, urls: &[RemoteUrl]) -> Option<SecretSource> {
        let mut origins: Vec<_> = urls.iter().filter(|url| url.is_http()).map(RemoteUrl::origin).collect();
        origins.dedup();
        if token.is_some() && origins.len() > 1 {
            self.problem(
                "token",
                "the URLs of this source lie on several hosts, and a token belongs to one",
                "make a source for each host",
            );
        }
        token
    }
}

/// Whether two URLs would have their mirrors in one directory. Those that differ in case are two repositories; where the
/// file system does not tell them apart, the run refuses one of them.
fn same_place(one: &RemoteUrl, other: &RemoteUrl) -> bool {
    one.folder() == other.folder() && one.repo_path() == other.repo_path()
}
