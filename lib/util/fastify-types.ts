/*
 * Fastify is an optional peer dependency. A user of createTicketKeys who has no Fastify, and `skipLibCheck: false`, must still compile. The
 * compiler would stop at this import, because TypeScript has no optional import. With the directive, the types are `any` where Fastify is
 * not installed, and the true types where it is. test/package/types-without-fastify.test.ts fails without the directive.
 */
/** @ts-ignore: fastify may not be installed; the comment above has the reason */
export type { FastifyInstance, FastifyPluginAsync, FastifyRequest, RouteShorthandOptions } from 'fastify'
