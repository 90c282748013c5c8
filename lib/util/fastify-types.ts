/*
 * Fastify is an optional peer dependency. Users of createTicketKeys without Fastify must be able to compile with
 * `skipLibCheck: false`. TypeScript has no optional import, so the compiler would stop at this import. With the
 * directive, the types are `any` if Fastify is not installed, and the true types if it is.
 * test/package/types-without-fastify.test.ts fails without the directive.
 */
/** @ts-ignore: fastify may not be installed; the comment above has the reason */
export type { FastifyInstance, FastifyPluginAsync, FastifyRequest, RouteShorthandOptions } from 'fastify'
