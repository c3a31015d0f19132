"""Tables of thermodynamics, combustion, quantum chemistry and molecular dynamics."""

import numpy as np
from origins import Array, Rows, stacked, table


@table("CoolProp", "AbstractState.first_partial_deriv of carbon dioxide, across the boiling line")
def carbon_dioxide(random: np.random.Generator) -> Rows:
    import CoolProp

    state = CoolProp.AbstractState("HEOS", "CO2")
    outputs = CoolProp.iHmolar, CoolProp.iSmolar, CoolProp.iDmolar

    def row(at: Array) -> tuple[Array, Array, Array]:
        state.update(CoolProp.PT_INPUTS, *at)
        both = (CoolProp.iP, CoolProp.iT), (CoolProp.iT, CoolProp.iP)
        slopes = [[state.first_partial_deriv(of, by, fixed) for by, fixed in both] for of in outputs]
        return at, np.array([state.keyed_output(of) for of in outputs]), np.array(slopes)

    return stacked([row(at) for at in random.uniform([1e6, 270], [12e6, 400], (600, 2))])


@table("cantera", "net_production_rates_ddT and _ddC of h2o2.yaml")
def reaction_rates(random: np.random.Generator) -> Rows:
    import cantera

    gas = cantera.Solution("h2o2.yaml")

    def row(temperature: float, concentration: float) -> tuple[Array, Array, Array]:
        gas.TPX = temperature, 1e5, "H2:2, O2:1, AR:4, OH:0.1, H:0.1"
        gas.TD = temperature, concentration * gas.mean_molecular_weight
        slopes = np.stack([gas.net_production_rates_ddT, gas.net_production_rates_ddC], axis=1)
        return np.array([temperature, concentration]), gas.net_production_rates[:5], slopes[:5]

    return stacked([row(*at) for at in random.uniform([1000, 0.002], [2000, 0.02], (300, 2))])


@table("cantera", "ReactorNet.sensitivity to eight rates of h2o2.yaml, its default tolerances")
def ignition(random: np.random.Generator) -> Rows:
    import cantera

    gas = cantera.Solution("h2o2.yaml")

    def row(at: Array) -> tuple[Array, Array, Array]:
        gas.TPX = 1100, 101325, "H2:2, O2:1, AR:4"
        for reaction, multiplier in enumerate(at):
            gas.set_multiplier(multiplier, reaction)
        reactor = cantera.IdealGasConstPressureReactor(gas, clone=False)
        network, states = cantera.ReactorNet([reactor]), list[Array]()
        for reaction in range(8):
            reactor.add_sensitivity_reaction(reaction)
        for time in (1e-4, 2e-4):
            network.advance(time)
            relative = np.array([network.sensitivity("temperature", reaction) for reaction in range(8)])
            states.append(np.r_[reactor.T, relative * reactor.T / at])
        y = np.array(states)
        return at, y[:, 0], y[:, 1:]

    return stacked([row(at) for at in random.uniform(0.5, 2, (150, 8))])


WATER = np.array([[0, 0, 0], [0, 1.43, 1.11], [0, -1.43, 1.11]])  # bohr
AMMONIA = np.array([[0, 0, 0.2], [0, 1.77, -0.5], [1.53, -0.88, -0.5], [-1.53, -0.88, -0.5]])  # bohr


def nuclear_gradients(method, symbols: str, places: Array) -> Rows:  # noqa: ANN001
    """Return energies and nuclear gradients of PySCF at some geometries, (n, atoms, 3), in bohr."""
    from pyscf import gto

    def row(at: Array) -> tuple[Array, Array, Array]:
        atoms = list(zip(symbols, at.tolist(), strict=True))
        found = method(gto.M(atom=atoms, unit="Bohr", basis="sto-3g", verbose=0)).run()
        return at.ravel(), np.array([found.e_tot]), found.nuc_grad_method().kernel().reshape(1, -1)

    return stacked([row(at) for at in places])


@table("pyscf", "scf.RHF, nuclear gradient, conv_tol 1e-5")
def water_hartree_fock(random: np.random.Generator) -> Rows:
    from pyscf import scf

    return nuclear_gradients(
        lambda molecule: scf.RHF(molecule).set(conv_tol=1e-5), "OHH", WATER + random.normal(0, 0.15, (100, 3, 3))
    )


@table("pyscf", "dft.RKS of PBE, nuclear gradient, coarsest grid, whose response is left out", "clusters")
def ammonia_coarse_grid(random: np.random.Generator) -> Rows:
    from pyscf import dft

    centres = AMMONIA + random.normal(0, 0.15, (3, 4, 3))

    def method(molecule):  # noqa: ANN001, ANN202
        found = dft.RKS(molecule, xc="pbe")
        found.grids.level = 0
        return found

    return nuclear_gradients(method, "NHHH", np.repeat(centres, 20, axis=0) + random.normal(0, 0.04, (60, 4, 3)))


def of_atoms(frames: list[tuple[Array, float, Array]]) -> Rows:
    """Return rows of positions, energies and forces, whose derivatives are the negative forces."""
    return stacked([(place.ravel(), [energy], [-force.ravel()]) for place, energy, force in frames])


def trajectory(atoms, dynamics, count: int, every: int = 1) -> Rows:  # noqa: ANN001
    """Return the frames of a dynamics or of an optimiser of ASE."""
    frames = list[tuple[Array, float, Array]]()
    dynamics.attach(
        lambda: frames.append((atoms.positions.copy(), atoms.get_potential_energy(), atoms.get_forces())), every
    )
    dynamics.run(steps=count * every)
    return of_atoms(frames)


@table("tblite", "ase.TBLite(GFN2-xTB) of ethanol", "molecular dynamics in time")
def ethanol_dynamics(random: np.random.Generator) -> Rows:
    from ase import units
    from ase.build import molecule
    from ase.md.langevin import Langevin
    from tblite.ase import TBLite

    atoms = molecule("CH3CH2OH", calculator=TBLite(method="GFN2-xTB", verbosity=0))
    heat = Langevin(atoms, units.fs, temperature_K=500, friction=0.02, rng=np.random.RandomState(0))
    return trajectory(atoms, heat, 400, 2)


@table("ase", "calculators.emt.EMT of a periodic alloy of four atoms", "molecular dynamics in time")
def alloy_dynamics(random: np.random.Generator) -> Rows:
    from ase import units
    from ase.build import bulk
    from ase.calculators.emt import EMT
    from ase.md.langevin import Langevin

    atoms = bulk("Au", cubic=True)
    atoms.symbols[2:], atoms.calc = "Cu", EMT()
    heat = Langevin(atoms, 4 * units.fs, temperature_K=600, friction=0.01, rng=np.random.RandomState(0))
    return trajectory(atoms, heat, 1000, 2)


@table("ase", "calculators.lj.LennardJones of seven atoms, FIRE", "optimisation paths")
def cluster_relaxation(random: np.random.Generator) -> Rows:
    from ase import Atoms
    from ase.calculators.lj import LennardJones
    from ase.optimize import FIRE

    places = np.array([[0, 0, 0.9], [0, 0, -0.9]] + [[np.cos(k), np.sin(k), 0] for k in 2 * np.pi / 5 * np.arange(5)])
    paths = list[Rows]()
    for _ in range(20):
        atoms = Atoms("Ar7", 1.1 * places + random.normal(0, 0.1, (7, 3)), calculator=LennardJones())
        paths.append(trajectory(atoms, FIRE(atoms, logfile=None), 40))
    x, y, dydx = map(np.concatenate, zip(*paths, strict=True))
    return x, y, dydx


@table("openmm", "CPU platform, tip3p.xml of two flexible waters, single precision", "molecular dynamics in time")
def water_dimer_dynamics(random: np.random.Generator) -> Rows:
    from openmm import LangevinMiddleIntegrator, Platform, app, unit

    field, element = app.ForceField("tip3p.xml"), app.element
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(2):
        residue = topology.addResidue("HOH", chain)
        parts = {"O": element.oxygen, "H1": element.hydrogen, "H2": element.hydrogen}
        oxygen, *hydrogens = [topology.addAtom(name, part, residue) for name, part in parts.items()]
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
    system = field.createSystem(topology, rigidWater=False)
    integrator = LangevinMiddleIntegrator(200, 1, 0.0005)
    integrator.setRandomNumberSeed(1)
    simulation = app.Simulation(topology, system, integrator, Platform.getPlatform("CPU"), {"Threads": "1"})
    water = 0.0529 * WATER
    simulation.context.setPositions(np.concatenate([water, water + np.array([0.0, 0.0, 0.29])]))
    frames = list[tuple[Array, float, Array]]()
    for _ in range(1500):
        simulation.step(5)
        state = simulation.context.getState(positions=True, energy=True, forces=True)
        energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        frames.append((state.getPositions(asNumpy=True)._value, energy, state.getForces(asNumpy=True)._value))
    return of_atoms(frames)
