//! Repositories without an API behind them: directories of this machine, and URLs.

mod dirs;
mod urls;

pub use dirs::DirTree;
pub use urls::UrlList;
