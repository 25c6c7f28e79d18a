//! One box for every plug-in of a kind, so that layers and backbones need no type parameter.
//!
//! `burn::Module` is not object safe (its visitors are generic over the rank), so the box carries
//! parameters across the `dyn` boundary by rank, as burn-core does for its reparameterizations.
//! Gradients, parameter paths, records, `valid()` and optimizers all pass through it.
//!
//! A socket takes a few lines:
//!
//! ```
//! use moe::{Boxed, Erased, Plug, Socket};
//! pub trait Shout: burn::module::Module + Sync + 'static { fn shout(&self) -> String; }
//! pub trait DynShout: Erased<ShoutSocket> { fn shout(&self) -> String; }
//! impl<M: Shout> DynShout for M { fn shout(&self) -> String { Shout::shout(self) } }
//! pub enum ShoutSocket {}
//! impl Socket for ShoutSocket { type Object = dyn DynShout; }
//! impl<M: Shout> Plug<M> for ShoutSocket { fn plug(module: M) -> Box<dyn DynShout> { Box::new(module) } }
//! pub type AnyShout = Boxed<ShoutSocket>;
//! ```

use std::{any::Any, fmt, ops::Deref};

use burn::{
    module::{
        Content, Devices, Flag, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
        ModuleVisitor, Param,
    },
    prelude::*,
};

/// A place where modules plug in. It is a marker type, without values.
pub trait Socket: Sized + 'static {
    /// The trait object in the box: `dyn DynRouter`, for example.
    type Object: ?Sized + Erased<Self>;
}

/// The conversion of a concrete module into the socket's trait object: `Box::new(module)`.
pub trait Plug<M>: Socket {
    /// Boxes the module.
    fn plug(module: M) -> Box<Self::Object>;
}

/// Any module that fits the socket `S`; itself a module.
pub struct Boxed<S: Socket>(Box<S::Object>);

impl<S: Socket> Boxed<S> {
    /// Boxes a module.
    pub fn new<M>(module: M) -> Self
    where
        S: Plug<M>,
    {
        Self(S::plug(module))
    }
}

impl<S: Socket> Deref for Boxed<S> {
    type Target = S::Object;

    fn deref(&self) -> &S::Object {
        &self.0
    }
}

/// The object-safe half of `Module`, for a socket `S`. Implemented for every module that plugs
/// into `S`; it is not implemented by hand.
pub trait Erased<S: Socket>: Send + Sync {
    #[doc(hidden)]
    fn boxed_clone(&self) -> Box<S::Object>;
    #[doc(hidden)]
    fn visit_any(&self, visitor: &mut dyn AnyVisitor);
    #[doc(hidden)]
    fn map_any(self: Box<Self>, mapper: &mut dyn AnyMapper) -> Box<S::Object>;
    #[doc(hidden)]
    fn boxed_to_device(self: Box<Self>, device: &Device) -> Box<S::Object>;
    #[doc(hidden)]
    fn boxed_fork(self: Box<Self>, device: &Device) -> Box<S::Object>;
    #[doc(hidden)]
    fn boxed_train(self: Box<Self>) -> Box<S::Object>;
    #[doc(hidden)]
    fn boxed_valid(&self) -> Box<S::Object>;
    #[doc(hidden)]
    fn boxed_materialize(self: Box<Self>) -> Box<S::Object>;
    #[doc(hidden)]
    fn devices_any(&self, devices: Devices) -> Devices;
    #[doc(hidden)]
    fn debug_any(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<M: Module + Sync + 'static, S: Plug<M>> Erased<S> for M {
    fn boxed_clone(&self) -> Box<S::Object> {
        S::plug(self.clone())
    }
    fn visit_any(&self, visitor: &mut dyn AnyVisitor) {
        Module::visit(self, &mut Lower(visitor));
    }
    fn map_any(self: Box<Self>, mapper: &mut dyn AnyMapper) -> Box<S::Object> {
        S::plug(Module::map(*self, &mut Lower(mapper)))
    }
    fn boxed_to_device(self: Box<Self>, device: &Device) -> Box<S::Object> {
        S::plug(Module::to_device(*self, device))
    }
    fn boxed_fork(self: Box<Self>, device: &Device) -> Box<S::Object> {
        S::plug(Module::fork(*self, device))
    }
    fn boxed_train(self: Box<Self>) -> Box<S::Object> {
        S::plug(Module::train(*self))
    }
    fn boxed_valid(&self) -> Box<S::Object> {
        S::plug(Module::valid(self))
    }
    fn boxed_materialize(self: Box<Self>) -> Box<S::Object> {
        S::plug(Module::materialize(*self))
    }
    fn devices_any(&self, devices: Devices) -> Devices {
        Module::collect_devices(self, devices)
    }
    fn debug_any(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl<S: Socket> Module for Boxed<S> {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.0.visit_any(&mut Raise(visitor));
    }
    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self(self.0.map_any(&mut Raise(mapper)))
    }
    fn to_device(self, device: &Device) -> Self {
        Self(self.0.boxed_to_device(device))
    }
    fn fork(self, device: &Device) -> Self {
        Self(self.0.boxed_fork(device))
    }
    fn train(self) -> Self {
        Self(self.0.boxed_train())
    }
    fn valid(&self) -> Self {
        Self(self.0.boxed_valid())
    }
    fn materialize(self) -> Self {
        Self(self.0.boxed_materialize())
    }
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.0.devices_any(devices)
    }
}

impl<S: Socket> Clone for Boxed<S> {
    fn clone(&self) -> Self {
        Self(self.0.boxed_clone())
    }
}

impl<S: Socket> fmt::Debug for Boxed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug_any(f)
    }
}

impl<S: Socket> ModuleDisplayDefault for Boxed<S> {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&format!("{self:?}")).optional()
    }
}

impl<S: Socket> ModuleDisplay for Boxed<S> {}

/// Object-safe visitor: a parameter is passed as `&dyn Any`, together with its rank.
#[doc(hidden)]
pub trait AnyVisitor {
    fn float(&mut self, rank: usize, param: &dyn Any);
    fn int(&mut self, rank: usize, param: &dyn Any);
    fn bool(&mut self, rank: usize, param: &dyn Any);
    fn flag(&mut self, flag: &Param<Flag>);
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

/// Object-safe mapper; see [`AnyVisitor`].
#[doc(hidden)]
pub trait AnyMapper {
    fn float(&mut self, rank: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    fn int(&mut self, rank: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    fn bool(&mut self, rank: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag>;
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

/// Ranked -> erased.
struct Lower<'a, T: ?Sized>(&'a mut T);
/// Erased -> ranked.
struct Raise<'a, T>(&'a mut T);

/// The message of a broken invariant: a parameter is erased and restored at the same rank.
const SAME: &str = "a parameter must keep its rank and kind when it is erased and restored";

macro_rules! at_rank {
    ($rank:expr, $d:ident => $body:expr) => {
        match $rank {
            1 => {
                const $d: usize = 1;
                $body
            }
            2 => {
                const $d: usize = 2;
                $body
            }
            3 => {
                const $d: usize = 3;
                $body
            }
            4 => {
                const $d: usize = 4;
                $body
            }
            5 => {
                const $d: usize = 5;
                $body
            }
            6 => {
                const $d: usize = 6;
                $body
            }
            rank => panic!("parameters of a plug-in must have rank 1 to 6, found {rank}"),
        }
    };
}

impl ModuleVisitor for Lower<'_, dyn AnyVisitor + '_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.float(D, param);
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.0.int(D, param);
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.0.bool(D, param);
    }
    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.0.flag(flag);
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

impl<V: ModuleVisitor> AnyVisitor for Raise<'_, V> {
    fn float(&mut self, rank: usize, param: &dyn Any) {
        at_rank!(rank, D => self.0.visit_float(param.downcast_ref::<Param<Tensor<D>>>().expect(SAME)));
    }
    fn int(&mut self, rank: usize, param: &dyn Any) {
        at_rank!(rank, D => self.0.visit_int(param.downcast_ref::<Param<Tensor<D, Int>>>().expect(SAME)));
    }
    fn bool(&mut self, rank: usize, param: &dyn Any) {
        at_rank!(rank, D => self.0.visit_bool(param.downcast_ref::<Param<Tensor<D, Bool>>>().expect(SAME)));
    }
    fn flag(&mut self, flag: &Param<Flag>) {
        self.0.visit_flag(flag);
    }
    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }
    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

impl ModuleMapper for Lower<'_, dyn AnyMapper + '_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        *self.0.float(D, Box::new(param)).downcast().expect(SAME)
    }
    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        *self.0.int(D, Box::new(param)).downcast().expect(SAME)
    }
    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        *self.0.bool(D, Box::new(param)).downcast().expect(SAME)
    }
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.flag(flag)
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

impl<M: ModuleMapper> AnyMapper for Raise<'_, M> {
    fn float(&mut self, rank: usize, param: Box<dyn Any>) -> Box<dyn Any> {
        at_rank!(rank, D => Box::new(self.0.map_float(*param.downcast::<Param<Tensor<D>>>().expect(SAME))))
    }
    fn int(&mut self, rank: usize, param: Box<dyn Any>) -> Box<dyn Any> {
        at_rank!(rank, D => Box::new(self.0.map_int(*param.downcast::<Param<Tensor<D, Int>>>().expect(SAME))))
    }
    fn bool(&mut self, rank: usize, param: Box<dyn Any>) -> Box<dyn Any> {
        at_rank!(rank, D => Box::new(self.0.map_bool(*param.downcast::<Param<Tensor<D, Bool>>>().expect(SAME))))
    }
    fn flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.map_flag(flag)
    }
    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }
    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}
