//! A Worker and its one instance.

mod decide;
mod exit;
mod health;
mod pause;
mod rests;
mod slots;
mod start;
mod stop;
