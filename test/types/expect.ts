type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false

/** Compiles only where a value's type is exactly the one given: `exactly<string>()(value)`. */
export function exactly<Expected> (): <Actual>(value: Actual, ...same: Same<Actual, Expected> extends true ? [] : [never]) => void {
  return () => {}
}

/** Compiles only where a value can be had as the type given: `fits<string>(value)`. */
export function fits<Type> (_value: Type): void {}
