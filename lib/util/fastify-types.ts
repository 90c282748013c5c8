/*
 * Fastify is an optional peer. Without it, TypeScript cannot resolve this import, and would fail the compilation of a user who has `skipLibCheck`
 * off and uses createTicketKeys only. Ignored, the types become `any`, which nobody can use without Fastify. With Fastify nothing is ignored.
 */
/** @ts-ignore: see above */
export type { FastifyInstance, FastifyPluginAsync, FastifyRequest, RouteShorthandOptions } from 'fastify'
