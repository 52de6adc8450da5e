//! The command `fake-cloud`: reads its arguments, starts the server, and ends when it is told to.

use std::io::Read;
use std::process::ExitCode;

use mayfly_fake_cloud::{Config, Options, start};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

const USAGE: &str = "fake-cloud [--port 8790] [--token dev-cloud-token] [--boot-seconds 20] [--guests on|off] \
[--action-ms 300] [--exit-with-stdin] [--verbose]";

struct Arguments {
    options: Options,
    exit_with_stdin: bool,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(run(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-cloud: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let config = Config::default();
    let mut options = Options { port: 8790, token: "dev-cloud-token".to_owned(), config, verbose: false };
    let mut exit_with_stdin = false;
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
        let wrong = |value: &str| format!("{name} cannot be {value}");
        match name.as_str() {
            "--port" => {
                let text = value()?;
                options.port = text.parse().map_err(|_| wrong(&text))?;
            }
            "--token" => options.token = value()?,
            "--boot-seconds" => {
                let text = value()?;
                let seconds = text.parse().ok().filter(|s: &f64| (0.0..=86_400.0).contains(s));
                options.config.boot_seconds = seconds.ok_or_else(|| wrong(&text))?;
            }
            "--action-ms" => {
                let text = value()?;
                options.config.action_ms = text.parse().map_err(|_| wrong(&text))?;
            }
            "--guests" => {
                options.config.guests = match value()?.as_str() {
                    "on" => true,
                    "off" => false,
                    other => return Err(wrong(other)),
                }
            }
            "--exit-with-stdin" => exit_with_stdin = true,
            "--verbose" => options.verbose = true,
            unknown => return Err(format!("{unknown} is unknown")),
        }
    }
    Ok(Arguments { options, exit_with_stdin })
}

async fn run(arguments: Arguments) -> std::io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let (stdin_open, stdin_closed) = oneshot::channel::<()>();
    let _never_closed = if arguments.exit_with_stdin {
        // A thread of its own: a pending read of the standard input would keep the runtime from ending.
        std::thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            drop(stdin_open);
        });
        None
    } else {
        Some(stdin_open)
    };
    let running = start(arguments.options).await?;
    println!("fake-cloud ready {}", running.url());
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        _ = stdin_closed => {}
    }
    Ok(())
}
