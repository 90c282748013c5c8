/*
 * Fastify is an optional peer dependency. Users of createTicketKeys without Fastify must be able to compile with
 * `skipLibCheck: false`. TypeScript has no optional import, so the compiler would stop at this import. With the
 * directive, the types are `any` if Fastify is not installed, and the true types if it is.
 * test/package/types-without-fastify.test.ts fails without the directive.
 */
/** @ts-ignore: fastify may not be installed; the comment above has the reason */
export type { FastifyInstance, FastifyPluginAsync, FastifyRequest, RouteShorthandOptions } from 'fastify'

/**
 * What the metrics routes need of a Fastify instance. Fastify's own type is generic, and an instance with another logger
 * or server is not assignable to its default.
 */
export interface RouteInstance {
  prefix: string
  hasRoute (route: { method: 'GET', url: string }): boolean
  get (path: string, options: object, handler: (request: RouteRequest, reply: RouteReply) => Promise<unknown>): unknown
}

/** The parts of a request that the metrics routes use. */
export interface RouteRequest {
  headers: { accept?: string | undefined }
}

/** The parts of a reply that the metrics routes use. */
export interface RouteReply {
  header (name: string, value: string): unknown
}
